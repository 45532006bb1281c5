//! What a repair does besides saving what is left.

use std::path::Path;
use std::sync::Arc;

use freyja::ErrorKind;
use freyja::store::{OpenMode, Options, Salvage, Store};
use freyja::vfs::Vfs;
use freyja::vfs::simulated::{Crash, Effect, SimulatedDisk};

use crate::stores::*;

#[test]
fn a_repair_writes_into_no_directory_in_which_there_is_something() {
    let disk = filled(&options());
    disk.create_directory(Path::new(SAVED)).unwrap();
    disk.create_new(&Path::new(SAVED).join("precious")).unwrap();
    assert_eq!(try_repair(&disk).unwrap_err().kind(), ErrorKind::Exists);
    let names = files(&disk, SAVED);
    assert_eq!(names.keys().collect::<Vec<_>>(), ["precious"]);
}

#[test]
fn a_repair_of_a_sound_store_is_a_copy_of_its_pairs() {
    let disk = filled(&options());
    let (report, findings) = repaired(&disk, Salvage::default());
    assert_eq!(findings, []);
    assert_eq!(saved(&disk), expected());
    assert_eq!((report.keys_saved, report.keys_left_out), (19, 0));
    let bytes: usize = expected().iter().map(|(k, v)| k.len() + v.len()).sum();
    assert_eq!(report.bytes_saved, bytes as u64);
}

#[test]
fn a_repair_that_a_crash_interrupts_leaves_nothing_that_opens_as_a_whole_store() {
    let begin = filled(&options()).calls();
    let mut refused = 0;
    for crash_at in begin.. {
        let disk = filled(&options());
        disk.stop_at(crash_at, Effect::Before);
        if try_repair(&disk).is_ok() {
            break;
        }
        let disk = disk.crash(Crash::PowerLoss, crash_at);
        let open = Store::open_on(
            Arc::new(disk.clone()),
            Path::new(SAVED),
            &Options {
                mode: OpenMode::MustExist,
                ..options()
            },
        );
        match open {
            // All is there: only the removal of the marker was not durable yet, or was.
            Ok(store) => assert_eq!(store.count(), 19, "crash at {crash_at}"),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                assert!(error.message().contains("never finished"), "{error}");
                refused += 1;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
        }
    }
    assert!(refused > 5, "{refused}");
}

#[test]
fn a_repair_keeps_expiries_and_leaves_out_what_was_found_expired() {
    let disk = SimulatedDisk::new(1);
    disk.set_wall_clock_ms(1000);
    let store = open(&disk, &options());
    store.put_expiring(b"key 1", b"long", 9000).unwrap();
    store.put_expiring(b"key 2", b"short", 2000).unwrap();
    store.put_expiring(b"key 3", b"shortest", 1500).unwrap();
    store.put(b"key 4", b"for ever").unwrap();
    disk.set_wall_clock_ms(1600);
    assert_eq!(store.get(b"key 3").unwrap(), None);
    store.close().unwrap();
    let (report, findings) = repaired(&disk, Salvage::default());
    assert_eq!(
        (findings, report.keys_saved, report.keys_expired),
        (vec![], 3, 1)
    );
    // Although the clock steps back.
    disk.set_wall_clock_ms(1000);
    let answers = |now| {
        disk.set_wall_clock_ms(now);
        let vfs = Arc::new(disk.clone());
        let store = Store::open_on(vfs, Path::new(SAVED), &options()).unwrap();
        ["key 1", "key 2", "key 3", "key 4"].map(|key| store.get(key.as_bytes()).unwrap().is_some())
    };
    assert_eq!(answers(1000), [true, true, false, true]);
    assert_eq!(answers(2000), [true, false, false, true]);
    assert_eq!(answers(9000), [false, false, false, true]);
}
