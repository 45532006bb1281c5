//! What a reader who trusts the disk gets of a damaged store: what the disk says of the key, or an error, never nothing and never
//! another key's; and one who does not, an error instead.
#![allow(clippy::unwrap_used)] // a test that meets an error has failed

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use freyja::ErrorKind;
use freyja::log::segment_name;
use freyja::store::{IterOptions, Options, ReadChecks, ReadMode, Store};
use freyja::vfs::SimulatedDisk;
use freyja::vfs::simulated::Crash;

const STORE: &str = "/store";
const KEYS: u8 = 12;

fn options(read_mode: ReadMode, read_checks: ReadChecks) -> Options {
    Options {
        background_threads: 0,
        read_mode,
        read_checks,
        ..Options::default()
    }
}

fn open(disk: &SimulatedDisk, options: &Options) -> Store {
    Store::open_on(Arc::new(disk.clone()), Path::new(STORE), options).unwrap()
}

fn key(number: u8) -> Vec<u8> {
    format!("key {number}").into()
}

/// Some longer than a head with one byte for each length can tell.
fn value(number: u8) -> Vec<u8> {
    vec![number; 20 + 15 * usize::from(number)]
}

/// The disk of a closed store, whose next open needs to read no record, and where each value is in which file.
fn closed_store() -> (SimulatedDisk, String, BTreeMap<u8, usize>) {
    let disk = SimulatedDisk::new(1);
    let store = open(&disk, &options(ReadMode::Mapped, ReadChecks::Checksum));
    for number in 0..KEYS {
        store.put(&key(number), &value(number)).unwrap();
    }
    let place = store.locate(&key(0)).unwrap().unwrap();
    store.close().unwrap();
    let disk = disk.crash(Crash::ProcessKill, 0);
    let path = format!("{STORE}/{}", segment_name::file_name(place.segment_id));
    let bytes = disk.read_file(Path::new(&path)).unwrap();
    let place_of = |number| {
        let whole = [key(number), value(number)].concat();
        let found = bytes.windows(whole.len()).position(|it| it == whole);
        found.unwrap() + key(number).len()
    };
    let places = (0..KEYS).map(|number| (number, place_of(number))).collect();
    (disk, path, places)
}

/// What a get answers.
type Got = freyja::Result<Option<Vec<u8>>>;

/// What a store with a byte flipped answers for every key, by every call that gives values out. `None` stands for an error of damage.
fn answers(store: &Store) -> Vec<BTreeMap<u8, Option<Vec<u8>>>> {
    let told = |result: Got| match result {
        Ok(value) => Some(value.expect("a key that was put is never missing")),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            None
        }
    };
    let each = |get: &dyn Fn(&[u8]) -> Got| {
        let all = (0..KEYS).map(|number| (number, told(get(&key(number)))));
        all.collect::<BTreeMap<_, _>>()
    };
    let keys: Vec<_> = (0..KEYS).map(key).collect();
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let many = store.get_many(&keys).unwrap();
    vec![
        each(&|key| store.get(key)),
        each(&|key| Ok(store.get_pinned(key)?.map(|pin| pin.bytes().to_vec()))),
        (0..).zip(many.into_iter().map(told)).collect(),
    ]
}

/// How many pairs a scan gives as they were put, and how many otherwise or not at all.
fn scanned(store: &Store) -> (usize, usize) {
    let mut iter = store.iter(IterOptions::default()).unwrap();
    let (mut right, mut others) = (0, 0);
    loop {
        match iter.next_with(|key, value| (key.to_vec(), value.to_vec())) {
            Ok(None) => return (right, others),
            Ok(Some(pair)) if (0..KEYS).any(|number| pair == (key(number), value(number))) => {
                right += 1;
            }
            Ok(Some(_)) => others += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                others += 1;
            }
        }
    }
}

#[test]
fn who_trusts_the_disk_gets_what_it_says_of_the_key_and_others_an_error() {
    let (disk, path, places) = closed_store();
    let path = Path::new(&path);
    let intact = disk.read_file(path).unwrap();
    let records = places[&0] - 16..places[&(KEYS - 1)] + value(KEYS - 1).len();
    for read_mode in [ReadMode::Mapped, ReadMode::Pread] {
        let mut passed_on = 0;
        for position in records.clone() {
            let mut bytes = intact.clone();
            bytes[position] ^= 1 << (position % 8);
            disk.overwrite_file(path, &bytes).unwrap();
            let of_value = places.iter().find_map(|(number, place)| {
                let offset = position.checked_sub(*place)?;
                (offset < value(*number).len()).then_some((*number, offset))
            });

            let copy = disk.crash(Crash::ProcessKill, 0);
            let trusting = open(&copy, &options(read_mode, ReadChecks::Key));
            for by_call in answers(&trusting) {
                let wrong =
                    |(number, told): &(&u8, &Option<Vec<u8>>)| **told != Some(value(**number));
                let wrong: Vec<_> = by_call.iter().filter(wrong).collect();
                assert!(wrong.len() <= 1, "byte {position}: {wrong:?}");
                if let Some((number, offset)) = of_value {
                    let mut as_on_disk = value(number);
                    as_on_disk[offset] ^= 1 << (position % 8);
                    assert_eq!(wrong, [(&number, &Some(as_on_disk))], "byte {position}");
                    passed_on += 1;
                }
            }
            let (right, others) = scanned(&trusting);
            assert_eq!(right + others, usize::from(KEYS), "byte {position}");
            assert!(others <= 1, "byte {position}");
            trusting.close().unwrap();

            let copy = disk.crash(Crash::ProcessKill, 0);
            let checking = open(&copy, &options(read_mode, ReadChecks::Checksum));
            for by_call in answers(&checking) {
                for (number, told) in by_call {
                    let is_right = told.as_ref() == Some(&value(number));
                    assert!(
                        is_right || told.is_none(),
                        "byte {position} of key {number}"
                    );
                    if of_value.is_some_and(|(damaged, _)| damaged == number) {
                        assert_eq!(told, None, "byte {position}");
                    }
                }
            }
            let (right, others) = scanned(&checking);
            assert!(right + others == usize::from(KEYS) && others <= 1);
            checking.close().unwrap();
        }
        assert!(passed_on > 1000);
    }
}

/// What reads records to write them elsewhere trusts nobody: a compaction would make damage look whole for ever.
#[test]
fn compaction_never_passes_damage_on() {
    let (disk, path, places) = closed_store();
    let path = Path::new(&path);
    let mut bytes = disk.read_file(path).unwrap();
    bytes[places[&3] + 2] ^= 1;
    disk.overwrite_file(path, &bytes).unwrap();
    let store = open(&disk, &options(ReadMode::Mapped, ReadChecks::Key));
    for number in 4..KEYS {
        store.delete(&key(number)).unwrap();
    }
    let told = store.compact(|_| true).unwrap_err();
    assert_eq!(told.kind(), ErrorKind::Corrupt);
    store.close().unwrap();
    let store = open(&disk, &options(ReadMode::Mapped, ReadChecks::Checksum));
    let told = store.get(&key(3)).unwrap_err();
    assert_eq!(told.kind(), ErrorKind::Corrupt);
}
