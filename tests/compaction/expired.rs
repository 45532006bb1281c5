//! What has expired leaves the disk, by itself and without being read, and brings nothing back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use freyja::store::{Compaction, KeyStorage, Options, ReadMode, Store, SyncMode};
use freyja::vfs::simulated::{Crash, Effect, SimulatedDisk};

use crate::random::Random;
use crate::{compact, fill_segment, key, open_with, options, reopen_with, segment_files};

fn automatic() -> Options {
    Options {
        compaction: Compaction::Automatic,
        ..options()
    }
}

fn disk_at(now: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    disk.set_wall_clock_ms(now);
    disk
}

fn maintain_all(store: &Store) {
    while store.maintain().unwrap() {}
}

/// Lets some seconds pass, in which a host calls for maintenance and nobody writes.
fn let_pass(disk: &SimulatedDisk, store: &Store, from: u64) {
    for second in 0..5 {
        disk.set_wall_clock_ms(from + second * 1000);
        maintain_all(store);
    }
}

#[test]
fn segments_of_which_all_pairs_have_expired_go_whole_without_being_read() {
    for read_mode in [ReadMode::Mapped, ReadMode::Pread] {
        let disk = disk_at(1000);
        let options = Options {
            read_mode,
            ..automatic()
        };
        let store = open_with(&disk, &options);
        for tag in 0..20 {
            fill_segment(&store, tag);
        }
        let lasting = segment_files(&disk).len();
        for number in 0..400 {
            store.put_expiring(&key(number), &[1; 60], 5000).unwrap();
        }
        // Less than what compaction would do something about.
        let before = store.stats();
        maintain_all(&store);
        assert_eq!(store.stats().compactions, 0, "nothing has expired");
        let_pass(&disk, &store, 6000);
        let after = store.stats();
        assert_eq!(after.compaction_bytes_read, 0);
        assert!(after.compactions > 0);
        let gone = before.live_bytes + before.dead_bytes - after.live_bytes - after.dead_bytes;
        assert!(gone > 400 * 70, "{gone} bytes");
        // One with pairs that last as well, and one that says what belongs to the store.
        assert!(segment_files(&disk).len() <= lasting + 2);
        let check = |store: &Store| {
            assert!((0..400).all(|number| store.get(&key(number)).unwrap().is_none()));
            assert!(store.count() < 20 * 60 + 60);
            let kept = store.get(b"filling 19 59").unwrap();
            assert_eq!(kept, Some(vec![7; 80]));
            assert_eq!(store.recovery_report().missing_segments, 0);
        };
        check(&store);
        // Neither a crash nor a clock that steps back brings anything back.
        disk.set_wall_clock_ms(1000);
        check(&open_with(&disk.crash(Crash::PowerLoss, 1), &options));
        check(&reopen_with(store, &disk, &options));
    }
}

#[test]
fn a_few_pairs_that_last_for_years_do_not_keep_the_others_on_the_disk() {
    const YEARS: u64 = 100_000_000_000;
    let disk = disk_at(1000);
    let store = open_with(&disk, &automatic());
    for number in 0..2000 {
        // In each segment some of both.
        let expires_at_ms = if number % 30 == 0 { YEARS } else { 5000 };
        store
            .put_expiring(&key(number), &[1; 60], expires_at_ms)
            .unwrap();
    }
    // Everything is looked at while nothing has expired.
    maintain_all(&store);
    let before = store.stats();
    let_pass(&disk, &store, 6000);
    let stats = store.stats();
    let left = stats.live_bytes + stats.dead_bytes;
    assert!(
        left < (before.live_bytes + before.dead_bytes) / 2,
        "{stats:?}"
    );
    for number in 0..2000 {
        let is_there = store.get(&key(number)).unwrap().is_some();
        assert_eq!(is_there, number % 30 == 0);
    }
}

/// An expired put hides what was under its key before: it cannot go while that is on the disk.
#[test]
fn a_segment_is_not_dropped_whole_while_what_it_hides_is_on_the_disk() {
    let disk = disk_at(1000);
    let store = open_with(&disk, &automatic());
    // Little garbage beside much that lasts, so that nothing else moves it.
    for number in 0..8 {
        store.put(&key(number), b"hidden").unwrap();
        fill_segment(&store, number);
    }
    for number in 0..200 {
        store.put_expiring(&key(number), &[1; 60], 2000).unwrap();
    }
    let_pass(&disk, &store, 3000);
    disk.set_wall_clock_ms(1500);
    let store = reopen_with(store, &disk, &automatic());
    for number in 0..200 {
        assert_eq!(store.get(&key(number)).unwrap(), None, "{number}");
    }
    compact(&store);
    let stats = store.stats();
    assert_eq!((stats.dead_puts, stats.tombstone_bytes), (0, 0));
    let store = reopen_with(store, &disk, &automatic());
    assert_eq!(store.count(), 8 * 60);
    for number in 0..200 {
        assert_eq!(store.get(&key(number)).unwrap(), None, "{number}");
    }
}

#[test]
fn a_store_in_which_pairs_only_expire_gets_its_space_back_by_maintenance() {
    for (key_storage, segment_size) in [
        (KeyStorage::InMemory, 4096),
        (KeyStorage::OnDisk, 4096),
        // All in the segment that is still written.
        (KeyStorage::InMemory, 1 << 20),
        (KeyStorage::OnDisk, 1 << 20),
    ] {
        let disk = disk_at(1000);
        let options = Options {
            key_storage,
            segment_size,
            ..automatic()
        };
        let store = open_with(&disk, &options);
        for number in 0..1000 {
            let moment = 5000 + number % 3 * 1000;
            store.put_expiring(&key(number), &[1; 60], moment).unwrap();
        }
        let full = store.stats().live_bytes;
        assert!(full > 80_000);
        for second in 1..20 {
            disk.set_wall_clock_ms(second * 1000);
            maintain_all(&store);
            let half = store.get(&key(2)).unwrap().is_some();
            assert_eq!(half, second < 7);
        }
        let stats = store.stats();
        let left = stats.live_bytes + stats.dead_bytes;
        assert!(left < 2000, "{left} of {full} bytes, {key_storage:?}");
        assert_eq!(store.count(), 0);
        store.put(b"after", b"all").unwrap();
        let store = reopen_with(store, &disk, &options);
        assert_eq!(store.get(b"after").unwrap().as_deref(), Some(&b"all"[..]));
        assert_eq!(store.count(), 1);
        assert!(store.failure().is_none());
    }
}

#[test]
fn a_store_in_which_pairs_only_expire_gets_its_space_back_in_the_background() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        sync_mode: SyncMode::None,
        segment_size: 1 << 20,
        ..Options::default()
    };
    let store = Store::open(directory.path(), &options).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let moment = now.as_millis() as u64 + 2500;
    // Less than a segment: nothing but the clock gives cause to look.
    for number in 0..5000 {
        store.put_expiring(&key(number), &[1; 60], moment).unwrap();
    }
    assert!(store.stats().live_bytes > 400_000);
    let begun = Instant::now();
    loop {
        let stats = store.stats();
        if stats.live_bytes + stats.dead_bytes < 10_000 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(100), "{stats:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(store.count(), 0);
}

/// A disk that fails or is full at any call while segments are dropped costs nothing but that.
#[test]
fn a_disk_that_fails_at_any_call_of_a_drop_brings_nothing_back_and_loses_nothing() {
    for errno in [libc::EIO, libc::ENOSPC] {
        for fault in 0.. {
            let disk = disk_at(1000);
            let store = open_with(&disk, &automatic());
            fill_segment(&store, 0);
            for number in 0..200 {
                store.put_expiring(&key(number), &[1; 60], 2000).unwrap();
            }
            maintain_all(&store);
            disk.set_wall_clock_ms(10_000);
            let first = disk.calls();
            let repeat = freyja::vfs::simulated::Repeat::Once;
            disk.fail_call(first + fault, errno, repeat, Effect::Before);
            let _ = store.maintain();
            let _ = store.maintain();
            let calls = disk.calls() - first;
            disk.clear_faults();
            disk.set_wall_clock_ms(10_001);
            let what = format!("error {errno} at call {fault}");
            let check = |store: &Store| {
                assert!(
                    (0..200).all(|it| store.get(&key(it)).unwrap().is_none()),
                    "{what}"
                );
                for number in 0..60 {
                    let kept = store.get(format!("filling 0 {number}").as_bytes());
                    assert!(kept.unwrap().is_some(), "{what}");
                }
            };
            check(&store);
            let crashed = disk.crash(Crash::PowerLoss, fault);
            drop(store);
            let reopened = open_with(&disk, &automatic());
            check(&reopened);
            assert_eq!(reopened.recovery_report().missing_segments, 0, "{what}");
            let after_crash = open_with(&crashed, &automatic());
            for number in 0..200 {
                let found = after_crash.get(&key(number)).unwrap();
                assert!(found.is_none(), "{what}, after a crash");
            }
            if fault > calls {
                assert!(fault > 10);
                break;
            }
        }
    }
}

/// The model: what each key has, and until when.
type Map = BTreeMap<Vec<u8>, (Vec<u8>, u64)>;

#[test]
fn a_store_whose_pairs_expire_is_a_map_whenever_it_is_compacted() {
    let seeds = match std::env::var("FREYJA_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (1..=20).collect(),
    };
    let mut drops = 0;
    for seed in seeds {
        println!("FREYJA_SEED={seed}");
        let mut random = Random::new(seed);
        let options = Options {
            key_storage: random.one_of(&[KeyStorage::InMemory, KeyStorage::OnDisk]),
            read_mode: random.one_of(&[ReadMode::Mapped, ReadMode::Pread]),
            image_segments: random.below(2) as u32,
            ..automatic()
        };
        let mut now = 1_000_000;
        let disk = disk_at(now);
        let mut store = open_with(&disk, &options);
        let mut map = Map::new();
        for _ in 0..800 {
            let name = key(random.below(80));
            match random.below(40) {
                0..=25 => {
                    let value = vec![random.next() as u8; random.below(400) as usize];
                    let moment = match random.below(5) {
                        0 => u64::MAX,
                        _ => now + random.below(20_000),
                    };
                    let told = if moment == u64::MAX { 0 } else { moment };
                    store.put_expiring(&name, &value, told).unwrap();
                    map.insert(name, (value, moment));
                }
                26..=29 => {
                    let was_there = map.remove(&name).is_some_and(|it| it.1 > now);
                    assert_eq!(store.delete(&name).unwrap(), was_there);
                }
                30..=33 => {
                    now += random.below(8000);
                    disk.set_wall_clock_ms(now);
                }
                34..=36 => {
                    let read = store.stats().compaction_bytes_read;
                    let merges = store.stats().compactions;
                    store.maintain().unwrap();
                    let stats = store.stats();
                    drops += u64::from(
                        stats.compactions > merges && stats.compaction_bytes_read == read,
                    );
                }
                37 => compact(&store),
                38 => store = reopen_with(store, &disk, &options),
                _ => {
                    for number in 0..80 {
                        let name = key(number);
                        let expected = map.get(&name).filter(|it| it.1 > now);
                        let found = store.get(&name).unwrap();
                        assert_eq!(found.as_ref(), expected.map(|it| &it.0), "seed {seed}");
                    }
                }
            }
        }
        assert!(store.failure().is_none());
    }
    assert!(drops > 0 || std::env::var("FREYJA_SEED").is_ok());
}
