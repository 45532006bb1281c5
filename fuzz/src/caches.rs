//! Changed bytes of files on which nothing but time depends: with checksums that do not match, they change nothing; with mended
//! ones, they end neither the process nor in wrong bytes.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use freyja::store::{Compaction, OpenMode, Options, ReadMode, Store};
use freyja::vfs::simulated::Crash;
use freyja::vfs::{SimulatedDisk, Vfs};

use crate::input::Input;
use crate::stores::{STORE, open, options};

/// A key that was deleted.
const DELETED: [u8; 3] = [7; 3];

/// A store with such a file, and what is in it.
pub struct Base {
    disk: SimulatedDisk,
    file: PathBuf,
    bytes: Vec<u8>,
    pairs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Gives bytes of the file the checksums that they should have.
    mend: fn(&mut [u8]),
}

fn writable() -> Options {
    Options {
        compaction: Compaction::Manual,
        ..options(ReadMode::Pread, OpenMode::CreateIfMissing)
    }
}

impl Base {
    /// A store of several segments, closed with an image, the name of which ends in `.img`. If it is `merged`, segments have been merged
    /// since, and it was killed: there is a list of moves, the name of which ends in `.moves`.
    pub fn new(suffix: &str, merged: bool, mend: fn(&mut [u8])) -> Self {
        let disk = SimulatedDisk::new(1);
        let store = open(&disk, &writable()).unwrap();
        let mut pairs = BTreeMap::new();
        let mut put = |store: &Store, number: u8, value: Vec<u8>| {
            let key = vec![number; 1 + number as usize % 5];
            store.put(&key, &value).unwrap();
            pairs.insert(key, value);
        };
        for number in 0..60_u8 {
            put(&store, number, vec![number; number as usize * 3]);
        }
        for number in (0..60_u8).step_by(3).filter(|_| merged) {
            put(&store, number, vec![number; 100 + number as usize]);
        }
        store.delete(&DELETED).unwrap();
        pairs.remove(&DELETED[..]);
        store.close().unwrap();
        if merged {
            let store = open(&disk, &writable()).unwrap();
            // Ended after the first merge, and before an image is written.
            store.compact(|_| false).unwrap_err();
            assert_eq!(store.stats().compactions, 1);
            std::mem::forget(store);
        }
        let disk = disk.crash(Crash::ProcessKill, 1);
        let names = disk.list(Path::new(STORE)).unwrap();
        let file = names
            .into_iter()
            .find(|entry| entry.name.to_string_lossy().ends_with(suffix));
        let file = Path::new(STORE).join(file.unwrap().name);
        let bytes = disk.read_file(&file).unwrap();
        let mut mended = bytes.clone();
        mend(&mut mended);
        assert_eq!(mended, bytes, "what mends checksums is not up to date");
        Self {
            disk,
            file,
            bytes,
            pairs,
            mend,
        }
    }

    /// Changes the file as `data` says, and looks at what the store answers.
    pub fn try_changes(&self, data: &[u8]) {
        let mut input = Input(data);
        let how = input.byte();
        let mut bytes = changed(&self.bytes, &mut input);
        let mended = how & 1 != 0;
        if mended {
            (self.mend)(&mut bytes);
        }
        let disk = self.disk.crash(Crash::ProcessKill, 2);
        disk.overwrite_file(&self.file, &bytes).unwrap();
        let mode = match how & 2 {
            0 => OpenMode::ReadOnly,
            _ => OpenMode::MustExist,
        };
        let read_mode = match how & 4 {
            0 => ReadMode::Mapped,
            _ => ReadMode::Pread,
        };
        let store = match open(&disk, &options(read_mode, mode)) {
            Ok(store) => store,
            Err(error) => {
                assert!(mended, "damage to a cache is none to the store: {error}");
                return;
            }
        };
        for (key, value) in &self.pairs {
            match store.get(key) {
                Ok(Some(found)) => assert_eq!(found, *value),
                other => assert!(mended, "{key:?} answers {other:?}"),
            }
        }
        let absent = store.get(&DELETED);
        assert!(mended || matches!(absent, Ok(None)));
        assert!(mended || store.count() == self.pairs.len() as u64);
        let _ = (store.stats(), store.failure());
        if how & 2 != 0 && store.put(b"new", b"pair").is_ok() {
            assert_eq!(store.get(b"new").unwrap().as_deref(), Some(&b"pair"[..]));
        }
        let _ = store.close();
    }
}

fn changed(bytes: &[u8], input: &mut Input<'_>) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    while !input.is_empty() {
        let (kind, at, value) = (input.byte(), input.u16() as usize, input.byte());
        // What tells of the rest is at the end.
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
    bytes
}

/// Writes the checksum of the bytes in `range` to `at`, if there are such places.
pub fn set_checksum(bytes: &mut [u8], range: Range<usize>, at: usize) {
    let checksum = bytes.get(range).map(crc32fast::hash);
    if let (Some(checksum), Some(target)) = (checksum, bytes.get_mut(at..at.saturating_add(4))) {
        target.copy_from_slice(&checksum.to_le_bytes());
    }
}
