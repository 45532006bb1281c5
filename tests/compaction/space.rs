//! What compaction gives back, and what it costs.

use freyja::store::{Compaction, Options, Store, SyncMode};

use crate::random::Random;
use crate::{compact, fill_segment, key, open, options};
use freyja::vfs::simulated::SimulatedDisk;

fn size_of(directory: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(directory).unwrap();
    entries
        .map(|it| it.unwrap().metadata().unwrap().len())
        .sum()
}

#[test]
fn deleting_everything_and_compacting_leaves_less_than_a_mebibyte() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        sync_mode: SyncMode::None,
        segment_size: 1 << 20,
        ..Options::default()
    };
    let store = Store::open(directory.path(), &options).unwrap();
    for number in 0..40_000 {
        store.put(&key(number), &[7; 100]).unwrap();
    }
    assert!(size_of(directory.path()) > 4 << 20);
    for number in 0..40_000 {
        assert!(store.delete(&key(number)).unwrap());
    }
    compact(&store);
    assert!(size_of(directory.path()) < 1 << 20);
    let stats = store.stats();
    assert_eq!((stats.dead_puts, stats.tombstone_bytes), (0, 0));
    store.close().unwrap();
    assert!(size_of(directory.path()) < 1 << 20);
    let store = Store::open(directory.path(), &options).unwrap();
    assert_eq!(store.count(), 0);
    assert_eq!(store.recovery_report().missing_segments, 0);
}

#[test]
fn the_log_is_kept_below_its_share_of_garbage_by_maintenance() {
    let disk = SimulatedDisk::new(1);
    let options = Options {
        compaction: Compaction::Automatic,
        segment_size: 16 << 10,
        ..crate::options()
    };
    let store = crate::open_with(&disk, &options);
    let mut random = Random::new(1);
    let keys = 8000;
    for number in 0..keys {
        store.put(&key(number), &[1; 100]).unwrap();
    }
    for round in 0..10 * keys {
        let number = random.below(keys);
        store.put(&key(number), &[round as u8; 100]).unwrap();
        if round % 100 == 0 {
            while store.maintain().unwrap() {}
        }
        if round % 1000 == 0 {
            let stats = store.stats();
            assert!(
                stats.disk_bytes * 100 <= stats.live_bytes * 150,
                "{} bytes for {} live ones",
                stats.disk_bytes,
                stats.live_bytes
            );
        }
    }
    let stats = store.stats();
    let written = stats.written_bytes + stats.compaction_bytes_written;
    let amplification = written as f64 / stats.written_bytes as f64;
    println!("write amplification {amplification:.2}");
    assert!(amplification < 2.3, "{amplification}");
}

#[test]
fn many_small_segments_become_one() {
    let disk = SimulatedDisk::new(2);
    for number in 0..20 {
        let store = open(&disk);
        store.put(&key(number), b"one to a segment").unwrap();
        store.close().unwrap();
    }
    let store = open(&disk);
    assert_eq!(store.stats().segments, 20);
    compact(&store);
    assert!(store.stats().segments <= 8, "{}", store.stats().segments);
    for number in 0..20 {
        assert!(store.exists(&key(number)).unwrap());
    }
}

#[test]
fn where_nothing_pays_nothing_is_written() {
    let disk = SimulatedDisk::new(3);
    let store = open(&disk);
    for tag in 0..5 {
        fill_segment(&store, tag);
    }
    compact(&store);
    assert_eq!(store.stats().compactions, 0);
}

#[test]
fn progress_is_told_and_can_end_the_compaction() {
    let disk = SimulatedDisk::new(4);
    let store = open(&disk);
    for round in 0..3 {
        for number in 0..1000 {
            store.put(&key(number), &[round; 60]).unwrap();
        }
    }
    let mut told = Vec::new();
    let ended = store.compact(|progress| {
        told.push(progress);
        false
    });
    assert_eq!(ended.unwrap_err().os_code(), libc::ECANCELED);
    assert_eq!(told.len(), 1);
    assert!(told[0].segments_replaced > 0 && told[0].bytes_replaced > told[0].bytes_written);
    assert!(told[0].bytes_wanted >= told[0].bytes_replaced);
    store
        .compact(|progress| {
            told.push(progress);
            true
        })
        .unwrap();
    assert!(told.len() > 2);
    assert_eq!(store.stats().dead_puts, 0);
    for number in 0..1000 {
        assert_eq!(store.get(&key(number)).unwrap(), Some(vec![2; 60]));
    }
}

#[test]
fn what_has_expired_gives_its_space_back_and_nothing_older_returns() {
    let disk = SimulatedDisk::new(5);
    disk.set_wall_clock_ms(1000);
    let store = open(&disk);
    store.put(b"shadowed", b"old").unwrap();
    fill_segment(&store, 1);
    store.put_expiring(b"shadowed", b"new", 2000).unwrap();
    for number in 0..1000 {
        store.put_expiring(&key(number), &[1; 60], 2000).unwrap();
    }
    compact(&store);
    assert_eq!(store.stats().compactions, 0, "nothing has expired");
    disk.set_wall_clock_ms(3000);
    compact(&store);
    let stats = store.stats();
    assert!(stats.live_bytes < 16_000, "{} bytes", stats.live_bytes);
    assert_eq!(store.count(), 60);
    // Neither the old version nor what hid it is left.
    assert_eq!((stats.dead_puts, stats.tombstone_bytes), (0, 0));
    disk.set_wall_clock_ms(1500);
    let store = crate::reopen(store, &disk);
    assert_eq!(store.count(), 60);
    assert_eq!(store.get(b"shadowed").unwrap(), None);
    assert_eq!(store.get(&key(7)).unwrap(), None);
}

/// A replaced file used to stay open until another store was used, so that its file system could not be unmounted.
#[cfg(target_os = "linux")]
#[test]
fn a_closed_store_has_let_go_of_every_file() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &options()).unwrap();
    for _ in 0..3 {
        for tag in 0..4 {
            fill_segment(&store, tag);
        }
        compact(&store);
    }
    store.close().unwrap();
    drop(store);
    let open: Vec<_> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .filter(|target| target.starts_with(directory.path()))
        .collect();
    assert_eq!(open, Vec::<std::path::PathBuf>::new());
}
