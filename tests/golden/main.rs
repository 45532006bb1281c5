//! Stores that were written when version 1 of the format was made stay readable, to the byte; a store of a newer version is
//! refused and not touched. `tests/golden/README.md` says how the stores are made.
#![allow(clippy::disallowed_methods)] // keeps stores in real files
#![allow(clippy::unwrap_used)] // a test that meets an error has failed

#[path = "../support/independent_reader.rs"]
mod independent_reader;
mod writer;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use freyja::ErrorKind;
use freyja::store::{
    KeyStorage, OpenMode, Options, ReadMode, Salvage, Store, repair, salvage, verify,
};
use independent_reader::read_stores;

/// Between all the expiries in the stores.
const NOW_MS: u64 = 2_000_000_000_000;

/// The folder of the stores of a version.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/version_1")
}

/// Names of the committed stores.
fn names() -> Vec<String> {
    let entries = fs::read_dir(folder()).unwrap().map(Result::unwrap);
    let directories = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    let mut names: Vec<_> = directories
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Files of a directory with their contents, `LOCK` left out.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    let named = entries.map(|entry| {
        let bytes = fs::read(entry.path()).unwrap();
        (entry.file_name().into_string().unwrap(), bytes)
    });
    named.filter(|(name, _)| name != "LOCK").collect()
}

/// A copy of a committed store, which nobody else uses.
fn copy(name: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (file, bytes) in files(&folder().join(name)) {
        fs::write(directory.path().join(file), bytes).unwrap();
    }
    directory
}

/// A value, and when it expires; 0 for never.
type Pair = (Vec<u8>, u64);

/// What a committed store holds by the text beside it; `None` for keys that must be absent.
fn expected(name: &str) -> BTreeMap<Vec<u8>, Option<Pair>> {
    let text = fs::read_to_string(folder().join(name).with_extension("txt")).unwrap();
    text.lines()
        .map(|line| {
            let mut fields = line.split('\t');
            let key = unescaped(fields.next().unwrap());
            let value = fields.next().map(unescaped);
            let moment = fields.next().map_or(0, |it| it.parse().unwrap());
            (key, value.map(|value| (value, moment)))
        })
        .collect()
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let taken = match rest.as_bytes() {
            [b'\\', b'x', ..] => {
                bytes.push(u8::from_str_radix(&rest[2..4], 16).unwrap());
                4
            }
            [b'\\', ..] => {
                bytes.push(b'\\');
                2
            }
            _ => {
                bytes.push(first as u8);
                1
            }
        };
        rest = &rest[taken..];
    }
    bytes
}

fn options(mode: OpenMode) -> Options {
    Options {
        mode,
        segment_size: 4096,
        ..Options::default()
    }
}

fn check(store: &Store, name: &str, expected: &BTreeMap<Vec<u8>, Option<Pair>>) {
    for (key, pair) in expected {
        let value = store.get(key).unwrap();
        let key = key.escape_ascii();
        assert_eq!(
            value.as_ref(),
            pair.as_ref().map(|(it, _)| it),
            "{name}, {key}"
        );
    }
    assert!(store.failure().is_none(), "{name}: {:?}", store.failure());
}

fn live(expected: &BTreeMap<Vec<u8>, Option<Pair>>) -> BTreeMap<Vec<u8>, Pair> {
    let pairs = expected.iter();
    pairs
        .filter_map(|(key, pair)| Some((key.clone(), pair.clone()?)))
        .collect()
}

#[test]
fn there_is_a_store_of_every_kind_and_they_are_small() {
    let golden = writer::write_all();
    let written: Vec<&str> = golden.iter().map(|golden| golden.name).collect();
    let mut sorted = written.clone();
    sorted.sort_unstable();
    assert_eq!(names(), sorted);
    let mut sum = 0;
    for name in names() {
        let bytes: usize = files(&folder().join(&name)).values().map(Vec::len).sum();
        assert!(bytes <= 16 << 10, "{name} has {bytes} bytes");
        sum += bytes;
    }
    assert!(sum <= 64 << 10, "{sum} bytes");
}

/// With FREYJA_WRITE_GOLDEN=1 it writes them; see tests/golden/README.md before doing that.
#[test]
fn the_library_writes_the_same_bytes_as_when_the_stores_were_made() {
    let write = std::env::var_os("FREYJA_WRITE_GOLDEN").is_some();
    for golden in writer::write_all() {
        let directory = folder().join(golden.name);
        let text = directory.with_extension("txt");
        if write {
            let _ = fs::remove_dir_all(&directory);
            fs::create_dir_all(&directory).unwrap();
            for (name, bytes) in &golden.files {
                fs::write(directory.join(name), bytes).unwrap();
            }
            fs::write(&text, &golden.expected).unwrap();
        }
        assert_eq!(fs::read_to_string(&text).unwrap(), golden.expected);
        let committed = files(&directory);
        assert!(
            committed.keys().eq(golden.files.keys()),
            "{}: {:?} and {:?}",
            golden.name,
            committed.keys(),
            golden.files.keys()
        );
        for (name, bytes) in &golden.files {
            let mut pairs = bytes.iter().zip(&committed[name]);
            let differs = pairs.position(|(new, old)| new != old);
            let same_length = bytes.len() == committed[name].len();
            assert!(
                differs.is_none() && same_length,
                "{}/{name} differs from byte {differs:?} on; tests/golden/README.md says what that means",
                golden.name
            );
        }
    }
}

#[test]
fn every_store_is_read_as_it_was_meant_and_not_changed_by_reading() {
    for name in names() {
        let expected = expected(&name);
        for read_mode in [ReadMode::Mapped, ReadMode::Pread] {
            for key_storage in [KeyStorage::InMemory, KeyStorage::OnDisk] {
                let directory = copy(&name);
                let options = Options {
                    read_mode,
                    key_storage,
                    ..options(OpenMode::ReadOnly)
                };
                let store = Store::open(directory.path(), &options).unwrap();
                check(&store, &name, &expected);
                store.close().unwrap();
                assert_eq!(files(directory.path()), files(&folder().join(&name)));
            }
        }
    }
}

#[test]
fn every_store_can_be_compacted() {
    for name in names() {
        let expected = expected(&name);
        let directory = copy(&name);
        let store = Store::open(directory.path(), &options(OpenMode::MustExist)).unwrap();
        store.compact(|_| true).unwrap();
        check(&store, &name, &expected);
        store.close().unwrap();
        let store = Store::open(directory.path(), &options(OpenMode::MustExist)).unwrap();
        check(&store, &name, &expected);
    }
}

#[test]
fn every_store_goes_on_as_a_store() {
    for name in names() {
        let mut expected = expected(&name);
        let directory = copy(&name);
        for round in 0..3_u8 {
            let store = Store::open(directory.path(), &options(OpenMode::MustExist)).unwrap();
            check(&store, &name, &expected);
            let live = live(&expected);
            let (key, _) = live.iter().nth(usize::from(round)).unwrap();
            assert!(store.delete(key).unwrap());
            expected.insert(key.clone(), None);
            let key = vec![b'n', round];
            store.put(&key, &[round; 2000]).unwrap();
            expected.insert(key, Some((vec![round; 2000], 0)));
            store.close().unwrap();
        }
        let store = Store::open(directory.path(), &options(OpenMode::MustExist)).unwrap();
        check(&store, &name, &expected);
    }
}

#[test]
fn every_store_is_verified_as_sound_and_salvaged_whole() {
    for name in names() {
        let directory = copy(&name);
        let report = verify(directory.path(), &mut |_| {}).unwrap();
        assert_eq!(report.damages, 0, "{name}: {:?}", report.first_damage);
        let mut pairs = BTreeMap::new();
        salvage(
            directory.path(),
            &Salvage::default(),
            &mut |_| {},
            &mut |pair| {
                let value = (pair.value.to_vec(), pair.expires_at_ms.unwrap_or(0));
                assert!(pairs.insert(pair.key.to_vec(), value).is_none());
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(pairs, live(&expected(&name)), "{name}");
        assert_eq!(files(directory.path()), files(&folder().join(&name)));
    }
}

#[test]
fn a_reader_that_shares_no_code_reads_the_same() {
    let directories: Vec<(PathBuf, u64)> = names()
        .iter()
        .map(|name| (folder().join(name), NOW_MS))
        .collect();
    let Some(readings) = read_stores(&directories) else {
        return;
    };
    for (name, reading) in names().iter().zip(readings) {
        assert_eq!((reading.damage, reading.missing), (vec![], 0), "{name}");
        let live = live(&expected(name));
        let pairs: BTreeMap<_, _> = live
            .into_iter()
            .map(|(key, (value, _))| (key, value))
            .collect();
        assert_eq!(reading.live, pairs, "{name}");
    }
}

/// The same file with other bytes at `at` of its header, and the header's checksum.
fn with_header(bytes: &[u8], at: usize, value: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] = value;
    let checksum = crc32fast::hash(&bytes[..124]);
    bytes[124..128].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

#[test]
fn a_store_of_a_newer_version_is_refused_by_everything_and_not_touched() {
    for name in names() {
        // The format version, the checksum algorithm, the origin, an incompatible feature.
        for (at, value) in [(8, 2), (10, 9), (11, 9), (12, 1)] {
            let directory = copy(&name);
            let path = directory.path();
            let original = files(path);
            let mut segments = original.iter().filter(|(name, _)| name.ends_with(".seg"));
            let (segment, bytes) = segments.next_back().unwrap();
            fs::write(path.join(segment), with_header(bytes, at, value)).unwrap();
            let before = files(path);
            for mode in [
                OpenMode::MustExist,
                OpenMode::CreateIfMissing,
                OpenMode::ReadOnly,
            ] {
                let error = Store::open(path, &options(mode)).err().unwrap();
                assert_eq!(error.kind(), ErrorKind::Version, "{name}: {error}");
                assert!(error.message().contains(segment.as_str()), "{error}");
            }
            let error = verify(path, &mut |_| {}).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Version);
            let other = tempfile::tempdir().unwrap();
            let error = repair(path, other.path(), &Salvage::default(), &mut |_| {}).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Version);
            assert!(files(other.path()).is_empty());
            assert_eq!(files(path), before, "{name}");
        }
    }
}
