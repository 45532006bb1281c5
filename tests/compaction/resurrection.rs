//! How deleted keys and old values came back in other stores, each a test that they don't here.

use std::sync::atomic::{AtomicBool, Ordering};

use freyja::vfs::simulated::SimulatedDisk;

use crate::{compact, fill_segment, key, open, reopen, segment_files};

/// The only tombstone of a key was dropped by a merge that took its segment and not that of the put: the next open read the
/// put again.
#[test]
fn a_merge_of_the_tombstone_without_the_put_brings_nothing_back() {
    let disk = SimulatedDisk::new(1);
    let store = open(&disk);
    store.put(b"victim", b"").unwrap();
    fill_segment(&store, 1);
    store.delete(b"victim").unwrap();
    // Garbage beside the tombstone makes its segment worth a merge; that of the put is not.
    for _ in 0..30 {
        store.put(b"overwritten", &[1; 100]).unwrap();
    }
    compact(&store);
    let stats = store.stats();
    assert!(stats.compactions > 0 && stats.dead_puts == 1, "{stats:?}");
    assert!(stats.tombstone_bytes > 0, "the tombstone is still needed");
    let store = reopen(store, &disk);
    assert_eq!(store.get(b"victim").unwrap(), None);
    assert_eq!(store.stats().dead_puts, 1);
    // The put goes with the rest of its segment, and then the tombstone.
    for number in 0..60 {
        let key = format!("filling 1 {number}");
        store.put(key.as_bytes(), b"").unwrap();
    }
    compact(&store);
    compact(&store);
    let stats = store.stats();
    assert_eq!((stats.dead_puts, stats.tombstone_bytes), (0, 0));
    let store = reopen(store, &disk);
    assert_eq!(store.get(b"victim").unwrap(), None);
    assert_eq!(store.count(), 61);
}

/// A merge wrote an old value into a file with a higher number than that of the tombstone written meanwhile, and the next open
/// took the later file for the newer record.
#[test]
fn what_is_deleted_while_it_is_moved_stays_deleted() {
    let disk = SimulatedDisk::new(2);
    let store = open(&disk);
    for round in 0..20 {
        for number in 0..200 {
            store.put(&key(number), &[round; 60]).unwrap();
        }
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    compact(&store);
                }
            });
            for number in (0..200).step_by(2) {
                assert!(store.delete(&key(number)).unwrap());
            }
            for number in (1..200).step_by(4) {
                store.put(&key(number), b"new").unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
    }
    let expected = |number: u64| match number % 4 {
        1 => Some(b"new".to_vec()),
        3 => Some(vec![19; 60]),
        _ => None,
    };
    let store = reopen(store, &disk);
    for number in 0..200 {
        assert_eq!(
            store.get(&key(number)).unwrap(),
            expected(number),
            "{number}"
        );
    }
}

/// Old values lie in files with higher numbers after a merge: the order of files says nothing.
#[test]
fn a_value_that_was_moved_never_wins_over_a_newer_one() {
    let disk = SimulatedDisk::new(3);
    let store = open(&disk);
    for number in 0..100 {
        store.put(&key(number), b"old").unwrap();
    }
    for number in 0..50 {
        store.put(&key(number), b"newer").unwrap();
    }
    fill_segment(&store, 1);
    let before = segment_files(&disk);
    compact(&store);
    assert!(segment_files(&disk).last() > before.last());
    for number in 25..75 {
        store.put(&key(number), b"newest").unwrap();
    }
    compact(&store);
    let store = reopen(store, &disk);
    for number in 0..100 {
        let expected: &[u8] = match number {
            0..25 => b"newer",
            25..75 => b"newest",
            _ => b"old",
        };
        let value = store.get(&key(number)).unwrap();
        assert_eq!(value.as_deref(), Some(expected), "{number}");
    }
}

/// All tombstones were kept in merges of some of the files, as a cure, and were never got rid of.
#[test]
fn tombstones_do_not_pile_up() {
    let disk = SimulatedDisk::new(4);
    let store = open(&disk);
    fill_segment(&store, 1);
    let mut most = 0;
    for round in 0..100 {
        for number in 0..30 {
            store.put(&key(round * 30 + number), &[1; 40]).unwrap();
        }
        for number in 0..30 {
            store.delete(&key(round * 30 + number)).unwrap();
        }
        compact(&store);
        most = most.max(store.stats().tombstone_bytes);
    }
    assert!(most <= 4096, "{most} bytes of tombstones");
    compact(&store);
    assert_eq!(store.stats().tombstone_bytes, 0);
    assert_eq!(store.stats().dead_puts, 0);
}

/// Every update wrote a tombstone for the version in the older file.
#[test]
fn overwriting_leaves_no_tombstones() {
    let disk = SimulatedDisk::new(5);
    let store = open(&disk);
    for round in 0..20 {
        for number in 0..100 {
            store.put(&key(number), &[round; 40]).unwrap();
        }
        compact(&store);
        assert_eq!(store.stats().tombstone_bytes, 0);
    }
}

/// The clock decided which record was newer, and which tombstones were old enough to go.
#[test]
fn a_clock_that_steps_back_changes_nothing() {
    let disk = SimulatedDisk::new(6);
    let store = open(&disk);
    for round in 0..10 {
        disk.set_wall_clock_ms(1_000_000_000_000 - round * 86_400_000);
        for number in 0..100 {
            store.put(&key(number), &[round as u8; 40]).unwrap();
        }
        store.delete(&key(round)).unwrap();
        compact(&store);
    }
    let store = reopen(store, &disk);
    assert_eq!(store.count(), 99);
    assert_eq!(store.get(&key(9)).unwrap(), None);
    assert_eq!(store.get(&key(8)).unwrap(), Some(vec![9; 40]));
}

/// A merge deleted a file between the moment at which a reader learned of it and that at which he opened it.
#[test]
fn a_reader_keeps_what_he_found_while_its_file_goes() {
    let disk = SimulatedDisk::new(7);
    let store = open(&disk);
    store.put(b"read", &[9; 1000]).unwrap();
    for _ in 0..20 {
        store.put(b"garbage", &[1; 1000]).unwrap();
    }
    let before = segment_files(&disk);
    let read = store.get_with(b"read", |value| {
        std::thread::scope(|scope| scope.spawn(|| compact(&store)).join().unwrap());
        assert!(!segment_files(&disk).contains(&before[0]));
        assert!(store.get(b"read").unwrap().is_some());
        value.to_vec()
    });
    assert_eq!(read.unwrap(), Some(vec![9; 1000]));
}

/// Merges that had nothing to keep left empty files behind, tens of thousands of them, and an empty newest file made puts
/// spin.
#[test]
fn merges_with_nothing_to_keep_leave_one_small_file() {
    let disk = SimulatedDisk::new(8);
    let store = open(&disk);
    for round in 0..50 {
        for number in 0..100 {
            store.put(&key(number), &[round; 40]).unwrap();
        }
        for number in 0..100 {
            store.delete(&key(number)).unwrap();
        }
        compact(&store);
        assert_eq!(segment_files(&disk).len(), 1, "round {round}");
    }
    let store = reopen(store, &disk);
    assert_eq!(store.count(), 0);
    assert_eq!(store.recovery_report().missing_segments, 0);
    store.put(b"after", b"all").unwrap();
    let store = reopen(store, &disk);
    assert_eq!(store.get(b"after").unwrap().as_deref(), Some(&b"all"[..]));
    assert!(store.failure().is_none());
}
