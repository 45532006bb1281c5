//! Pairs that expire, on a disk whose clock the test sets.

use std::path::Path;
use std::sync::Arc;

use freyja::store::{Batch, KeyStorage, OpenMode, Options, ReadMode, Store, SyncMode};
use freyja::vfs::Vfs;
use freyja::vfs::simulated::{Crash, SimulatedDisk};

const STORE: &str = "/store";
const NOW: u64 = 1_000_000;

/// Where the keys are: the program of the tests of keys on disk runs this file once more.
fn key_storage() -> KeyStorage {
    match module_path!().starts_with("keys_on_disk") {
        true => KeyStorage::OnDisk,
        false => KeyStorage::InMemory,
    }
}

fn options() -> Options {
    Options {
        key_storage: key_storage(),
        sync_mode: SyncMode::None,
        background_threads: 0,
        ..Options::default()
    }
}

fn disk() -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    disk.set_wall_clock_ms(NOW);
    disk
}

fn open_with(disk: &SimulatedDisk, options: &Options) -> Store {
    Store::open_on(Arc::new(disk.clone()), Path::new(STORE), options).unwrap()
}

fn open(disk: &SimulatedDisk) -> Store {
    open_with(disk, &options())
}

/// Asks for `key` in every way there is; all must agree on its value.
fn value_of(store: &Store, key: &[u8]) -> Option<Vec<u8>> {
    let value = store.get(key).unwrap();
    let present = value.is_some();
    assert_eq!(store.exists(key).unwrap(), present);
    assert_eq!(store.locate(key).unwrap().is_some(), present);
    assert_eq!(store.get_with(key, |_| ()).unwrap().is_some(), present);
    let many = store.get_many(&[key, b"no such key", key]).unwrap();
    let many: Vec<_> = many.into_iter().map(Result::unwrap).collect();
    assert_eq!(many, [value.clone(), None, value.clone()]);
    value
}

#[test]
fn a_pair_is_there_until_the_moment_of_its_expiry_and_then_in_no_kind_of_read() {
    for read_mode in [ReadMode::Mapped, ReadMode::Pread] {
        let disk = disk();
        let options = Options {
            read_mode,
            ..options()
        };
        let store = open_with(&disk, &options);
        store.put_expiring(b"short", b"1", NOW + 10).unwrap();
        store.put_expiring(b"long", b"2", NOW + 20).unwrap();
        store.put_expiring(b"for ever", b"3", 0).unwrap();
        store.put_expiring(b"stillborn", b"4", NOW).unwrap();
        store.put(b"plain", b"5").unwrap();
        let seen = |store: &Store| {
            let keys: [&[u8]; 5] = [b"short", b"long", b"for ever", b"stillborn", b"plain"];
            keys.map(|key| value_of(store, key).is_some())
        };
        disk.set_wall_clock_ms(NOW + 9);
        assert_eq!(seen(&store), [true, true, true, false, true]);
        disk.set_wall_clock_ms(NOW + 10);
        assert_eq!(seen(&store), [false, true, true, false, true]);
        store.close().unwrap();
        let store = open_with(&disk, &options);
        assert_eq!(seen(&store), [false, true, true, false, true]);
        disk.set_wall_clock_ms(u64::MAX);
        assert_eq!(seen(&store), [false, false, true, false, true]);
        assert_eq!(value_of(&store, b"for ever").as_deref(), Some(&b"3"[..]));
    }
}

#[test]
fn an_expired_put_hides_what_it_replaced_however_the_store_is_opened() {
    let disk = disk();
    let store = open(&disk);
    store.put(b"key", b"old").unwrap();
    store.put_expiring(b"key", b"new", NOW + 1).unwrap();
    disk.set_wall_clock_ms(NOW + 1);
    assert_eq!(value_of(&store, b"key"), None);
    let killed = disk.crash(Crash::ProcessKill, 0);
    assert_eq!(value_of(&open(&killed), b"key"), None);
    store.close().unwrap();
    let without_image = Options {
        image_segments: 0,
        ..options()
    };
    for options in [options(), without_image] {
        let copy = disk.crash(Crash::ProcessKill, 0);
        assert_eq!(value_of(&open_with(&copy, &options), b"key"), None);
    }
    let read_only = Options {
        mode: OpenMode::ReadOnly,
        ..options()
    };
    assert_eq!(value_of(&open_with(&disk, &read_only), b"key"), None);
}

#[test]
fn what_is_written_over_a_pair_takes_its_expiry_along() {
    let disk = disk();
    let store = open(&disk);
    store.put_expiring(b"kept", b"1", NOW + 1).unwrap();
    store.put(b"kept", b"2").unwrap();
    store.put_expiring(b"longer", b"1", NOW + 1).unwrap();
    store.put_expiring(b"longer", b"2", NOW + 9).unwrap();
    store.put_expiring(b"gone", b"1", NOW + 1).unwrap();
    disk.set_wall_clock_ms(NOW + 5);
    assert_eq!(value_of(&store, b"gone"), None);
    store.put(b"gone", b"again").unwrap();
    for store in [&store, &open(&disk.crash(Crash::ProcessKill, 0))] {
        assert_eq!(value_of(store, b"kept").as_deref(), Some(&b"2"[..]));
        assert_eq!(value_of(store, b"longer").as_deref(), Some(&b"2"[..]));
        assert_eq!(value_of(store, b"gone").as_deref(), Some(&b"again"[..]));
    }
}

#[test]
fn deleting_an_expired_key_answers_as_for_an_absent_one_and_no_clock_brings_it_back() {
    let disk = disk();
    let store = open(&disk);
    store.put_expiring(b"key", b"1", NOW + 1).unwrap();
    store.put_expiring(b"other", b"1", NOW + 1).unwrap();
    disk.set_wall_clock_ms(NOW + 1);
    assert!(!store.delete(b"key").unwrap());
    let mut batch = Batch::new();
    batch.delete(b"other").unwrap();
    store.write(&batch).unwrap();
    assert_eq!(store.stats().deletes, 0);
    assert_eq!(store.count(), 0);
    let killed = disk.crash(Crash::ProcessKill, 0);
    killed.set_wall_clock_ms(NOW);
    let store = open(&killed);
    assert_eq!(value_of(&store, b"key"), None);
    assert_eq!(value_of(&store, b"other"), None);
}

#[test]
fn the_count_has_an_expired_key_until_it_is_deleted() {
    let disk = disk();
    let store = open(&disk);
    store.put_expiring(b"key", b"1", NOW + 1).unwrap();
    disk.set_wall_clock_ms(NOW + 1);
    assert_eq!(value_of(&store, b"key"), None);
    assert_eq!(store.count(), 1);
    store.delete(b"key").unwrap();
    assert_eq!(store.count(), 0);
}

#[test]
fn pairs_of_a_batch_expire_as_others_do() {
    let disk = disk();
    let store = open(&disk);
    let mut batch = Batch::new();
    batch.put_expiring(b"a", b"1", NOW + 1).unwrap();
    batch.put(b"b", b"2").unwrap();
    batch.put_expiring(b"c", b"", NOW + 2).unwrap();
    batch.delete(b"d").unwrap();
    batch.put_expiring(b"e", b"5", 0).unwrap();
    store.write(&batch).unwrap();
    let expiries: Vec<_> = batch.operations().map(|it| it.expires_at_ms).collect();
    assert_eq!(expiries, [Some(NOW + 1), None, Some(NOW + 2), None, None]);
    let seen = |store: &Store| [b"a", b"b", b"c", b"e"].map(|key| value_of(store, key).is_some());
    assert_eq!(seen(&store), [true; 4]);
    disk.set_wall_clock_ms(NOW + 1);
    assert_eq!(seen(&store), [false, true, true, true]);
    disk.set_wall_clock_ms(NOW + 2);
    let killed = disk.crash(Crash::ProcessKill, 0);
    assert_eq!(seen(&open(&killed)), [false, true, false, true]);
}

#[test]
pub(crate) fn a_clock_that_steps_back_brings_nothing_back() {
    let disk = disk();
    let store = open(&disk);
    store.put_expiring(b"key", b"1", NOW + 1).unwrap();
    store.put_expiring(b"later", b"1", NOW + 2).unwrap();
    disk.set_wall_clock_ms(NOW + 1);
    assert_eq!(value_of(&store, b"key"), None);
    disk.set_wall_clock_ms(0);
    assert_eq!(value_of(&store, b"key"), None);
    assert!(value_of(&store, b"later").is_some());
    store.close().unwrap();
    // Once with an image, once from the log alone.
    for image_segments in [1, 0] {
        let options = Options {
            image_segments,
            ..options()
        };
        let store = open_with(&disk, &options);
        assert_eq!(value_of(&store, b"key"), None);
        assert!(value_of(&store, b"later").is_some());
        store.close().unwrap();
    }
}

#[test]
pub(crate) fn what_was_found_expired_in_a_run_that_wrote_nothing_stays_so_in_the_next() {
    let disk = disk();
    let store = open(&disk);
    store.put_expiring(b"key", b"1", NOW + 1).unwrap();
    store.close().unwrap();
    disk.set_wall_clock_ms(NOW + 1);
    let store = open(&disk);
    assert_eq!(value_of(&store, b"key"), None);
    store.close().unwrap();
    disk.set_wall_clock_ms(NOW);
    let store = open(&disk);
    assert_eq!(value_of(&store, b"key"), None);
    store.close().unwrap();
    // It is known now, so that closing again writes nothing.
    let segments = |disk: &SimulatedDisk| disk.list(Path::new(STORE)).unwrap().len();
    let before = segments(&disk);
    let store = open(&disk);
    assert_eq!(value_of(&store, b"key"), None);
    store.put(b"another", b"pair").unwrap();
    store.close().unwrap();
    assert_eq!(segments(&disk), before + 1, "one segment for the put");
    let store = open(&disk);
    assert_eq!(value_of(&store, b"key"), None);
    store.close().unwrap();
    assert_eq!(segments(&disk), before + 1);
}

#[test]
pub(crate) fn after_a_crash_what_had_expired_when_the_last_segment_was_begun_stays_expired() {
    let disk = disk();
    let options = Options {
        segment_size: 4096,
        ..options()
    };
    let store = open_with(&disk, &options);
    store.put_expiring(b"key", b"1", NOW + 1).unwrap();
    disk.set_wall_clock_ms(NOW + 1);
    assert_eq!(value_of(&store, b"key"), None);
    for number in 0..3_u8 {
        store.put(&[number], &[0; 3000]).unwrap();
    }
    assert!(store.stats().segments > 1);
    let crashed = disk.crash(Crash::PowerLoss, 5);
    crashed.set_wall_clock_ms(NOW);
    assert_eq!(value_of(&open_with(&crashed, &options), b"key"), None);
}

/// A segment may go whole only when all of it has expired.
#[test]
pub fn a_pair_that_has_not_expired_stays_when_all_others_of_its_segment_have() {
    // One that expires later, and one that never does; the segment is looked at before anything has expired, or not.
    for later in [Some(NOW + 500_000), None] {
        for is_looked_at_before in [false, true] {
            let disk = disk();
            let options = Options {
                segment_size: 4096,
                image_segments: 0,
                ..options()
            };
            let store = open_with(&disk, &options);
            let put = |number: u32, expires_at_ms: Option<u64>| {
                let key = number.to_le_bytes();
                match expires_at_ms {
                    Some(moment) => store.put_expiring(&key, &[1; 60], moment).unwrap(),
                    None => store.put(&key, &[1; 60]).unwrap(),
                }
            };
            for number in 0..200 {
                put(number, Some(NOW + 1000));
                if number == 100 {
                    put(1000, later);
                }
            }
            let maintain = || while store.maintain().unwrap() {};
            if is_looked_at_before {
                maintain();
            }
            // The survivor makes looks rare, being far behind the others: see that there has been one.
            disk.set_wall_clock_ms(NOW + 400_000);
            maintain();
            store.compact(|_| true).unwrap();
            let stats = store.stats();
            assert!(
                stats.compactions > 0 && stats.live_bytes < 1000,
                "{stats:?}"
            );
            let check = |store: &Store| {
                assert_eq!(value_of(store, &1000_u32.to_le_bytes()), Some(vec![1; 60]));
                assert!(
                    (0..200_u32).all(|number| value_of(store, &number.to_le_bytes()).is_none())
                );
                assert!(store.recovery_report().damaged.is_empty());
            };
            check(&store);
            store.close().unwrap();
            check(&open_with(&disk, &options));
        }
    }
}

#[test]
fn damage_to_a_pair_that_expires_is_told_and_does_not_pass_for_expiry() {
    let disk = disk();
    let store = open(&disk);
    store.put_expiring(b"key", b"value", NOW + 1000).unwrap();
    let place = store.locate(b"key").unwrap().unwrap();
    store.close().unwrap();
    let path = Path::new(STORE).join(freyja::log::segment_name::file_name(place.segment_id));
    let good = disk.read_file(&path).unwrap();
    // The expiry stands behind checksum, kind and three numbers of a byte each.
    for byte in place.offset as usize + 8..place.offset as usize + 16 {
        for bit in 0..8 {
            let mut bytes = good.clone();
            bytes[byte] ^= 1 << bit;
            let damaged = disk.crash(Crash::ProcessKill, 0);
            damaged.overwrite_file(&path, &bytes).unwrap();
            let store = open(&damaged);
            let kind = store.get(b"key").unwrap_err().kind();
            assert_eq!(kind, freyja::ErrorKind::Corrupt);
            match store.exists(b"key") {
                Ok(found) => assert!(found, "byte {byte}, bit {bit}"),
                Err(error) => assert_eq!(error.kind(), freyja::ErrorKind::Corrupt),
            }
            // A new value heals the key.
            store.put(b"key", b"new").unwrap();
            assert_eq!(value_of(&store, b"key").as_deref(), Some(&b"new"[..]));
        }
    }
}

#[test]
fn asking_whether_a_key_is_there_reads_no_disk_where_nothing_expires() {
    let disk = disk();
    let options = Options {
        read_mode: ReadMode::Pread,
        ..options()
    };
    let store = open_with(&disk, &options);
    store.put(b"key", b"value").unwrap();
    let reads_of = |store: &Store| {
        let before = disk.calls();
        assert!(store.exists(b"key").unwrap());
        disk.calls() - before
    };
    // Keys on disk must be compared there.
    let usual = reads_of(&store);
    let in_memory = key_storage() == KeyStorage::InMemory;
    assert_eq!(usual == 0, in_memory);
    store.close().unwrap();
    let store = open_with(&disk, &options);
    store.put(b"key", b"in memory again").unwrap();
    assert_eq!(reads_of(&store), usual);
    store.put_expiring(b"other", b"value", NOW + 9).unwrap();
    assert_eq!(
        reads_of(&store),
        usual + 1,
        "it lies beside one that expires"
    );
}
