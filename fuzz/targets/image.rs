//! Changed bytes of an index image: with checksums that do not match, it changes nothing; with mended ones, it ends neither
//! the process nor in wrong bytes.
#![no_main]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use freyja::store::{OpenMode, ReadMode};
use freyja::vfs::simulated::Crash;
use freyja::vfs::{SimulatedDisk, Vfs};
use freyja_fuzz::input::Input;
use freyja_fuzz::stores::{STORE, open, options};
use libfuzzer_sys::fuzz_target;

const TRAILER: usize = 32;

struct Base {
    disk: SimulatedDisk,
    image: PathBuf,
    bytes: Vec<u8>,
    pairs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// A store of several segments, closed, with its image.
fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| {
        let disk = SimulatedDisk::new(1);
        let store = open(&disk, &options(ReadMode::Pread, OpenMode::CreateIfMissing)).unwrap();
        let mut pairs = BTreeMap::new();
        for number in 0..60_u8 {
            let (key, value) = (
                vec![number; 1 + number as usize % 5],
                vec![number; number as usize * 3],
            );
            store.put(&key, &value).unwrap();
            pairs.insert(key, value);
        }
        store.delete(&[7; 3]).unwrap();
        pairs.remove(&[7; 3][..]);
        store.close().unwrap();
        let names = disk.list(Path::new(STORE)).unwrap();
        let image = names
            .into_iter()
            .find(|entry| entry.name.to_string_lossy().ends_with(".img"));
        let image = Path::new(STORE).join(image.unwrap().name);
        let bytes = disk.read_file(&image).unwrap();
        Base {
            disk: disk.crash(Crash::ProcessKill, 1),
            image,
            bytes,
            pairs,
        }
    })
}

fn number(bytes: &[u8], at: usize) -> usize {
    let bytes = bytes
        .get(at..at + 8)
        .map_or([0; 8], |it| it.try_into().unwrap());
    usize::try_from(u64::from_le_bytes(bytes)).unwrap()
}

fn set_checksum(bytes: &mut [u8], range: std::ops::Range<usize>, at: usize) {
    let checksum = bytes.get(range).map(crc32fast::hash);
    if let (Some(checksum), Some(target)) = (checksum, bytes.get_mut(at..at.saturating_add(4))) {
        target.copy_from_slice(&checksum.to_le_bytes());
    }
}

/// Gives everything the checksum that it should have.
fn mend(bytes: &mut [u8]) {
    if bytes.len() < 64 + TRAILER {
        return;
    }
    set_checksum(bytes, 0..60, 60);
    let trailer = bytes.len() - TRAILER;
    let (directory, length) = (number(bytes, trailer), number(bytes, trailer + 8));
    let counts = bytes.get(directory.saturating_add(24)..directory.saturating_add(32));
    let counts = counts.map_or([0; 8], |it| it.try_into().unwrap());
    let segments = u32::from_le_bytes([counts[0], counts[1], counts[2], counts[3]]) as usize;
    let shards = u32::from_le_bytes([counts[4], counts[5], counts[6], counts[7]]) as usize;
    for shard in 0..shards.min(8) {
        let at = directory.saturating_add(32 + segments.saturating_mul(32) + shard * 48);
        if at.checked_add(48).is_some_and(|end| end <= bytes.len()) {
            let (start, length) = (number(bytes, at + 16), number(bytes, at + 24));
            set_checksum(bytes, start..start.saturating_add(length), at + 12);
        }
    }
    set_checksum(
        bytes,
        directory..directory.saturating_add(length),
        trailer + 16,
    );
    set_checksum(bytes, trailer..trailer + 20, trailer + 20);
}

fuzz_target!(|data: &[u8]| {
    let base = base();
    let mut input = Input(data);
    let how = input.byte();
    let mut bytes = base.bytes.clone();
    while !input.is_empty() {
        let (kind, at, value) = (input.byte(), input.u16() as usize, input.byte());
        // The directory and the trailer are at the end.
        let place = match kind % 4 {
            0 => bytes.len().checked_sub(1 + at % 200),
            _ => Some(at % bytes.len().max(1)),
        };
        match (kind / 4 % 8, place) {
            (0, _) => bytes.truncate(at),
            (1, _) => bytes.extend_from_slice(input.bytes(value as usize)),
            (2, Some(place)) if place + 8 <= bytes.len() => {
                bytes[place..place + 8].copy_from_slice(&input.u64().to_le_bytes());
            }
            (_, Some(place)) if place < bytes.len() => bytes[place] = value,
            _ => {}
        }
    }
    let mended = how & 1 != 0;
    if mended {
        mend(&mut bytes);
    }
    let disk = base.disk.crash(Crash::ProcessKill, 2);
    disk.overwrite_file(&base.image, &bytes).unwrap();
    let mode = match how & 2 {
        0 => OpenMode::ReadOnly,
        _ => OpenMode::MustExist,
    };
    let read_mode = match how & 4 {
        0 => ReadMode::Mapped,
        _ => ReadMode::Pread,
    };
    let opened = open(&disk, &options(read_mode, mode));
    let store = match opened {
        Ok(store) => store,
        Err(error) => {
            assert!(mended, "damage to an image is none to the store: {error}");
            return;
        }
    };
    for (key, value) in &base.pairs {
        match store.get(key) {
            Ok(Some(found)) => assert_eq!(found, *value),
            other => assert!(mended, "{key:?} answers {other:?}"),
        }
    }
    let absent = store.get(&[7; 3]);
    assert!(mended || matches!(absent, Ok(None)));
    assert!(mended || store.count() == base.pairs.len() as u64);
    let _ = (store.stats(), store.failure());
    if how & 2 != 0 && store.put(b"new", b"pair").is_ok() {
        assert_eq!(store.get(b"new").unwrap().as_deref(), Some(&b"pair"[..]));
    }
    let _ = store.close();
});
