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

/// Overwrites a data set of 8000 pairs ten times, with maintenance in between, keys drawn by `draw`; answers the highest
/// space amplification that was seen and the write amplification of the second half.
fn overwrite(space_amplification: u32, mut draw: impl FnMut(&mut Random) -> u64) -> (f64, f64) {
    let disk = SimulatedDisk::new(1);
    let options = Options {
        compaction: Compaction::Automatic,
        segment_size: 16 << 10,
        space_amplification,
        ..crate::options()
    };
    let store = crate::open_with(&disk, &options);
    let mut random = Random::new(1);
    for number in 0..PAIRS {
        store.put(&key(number), &[1; 100]).unwrap();
    }
    let (mut highest, mut half) = (0_f64, store.stats());
    for round in 0..10 * PAIRS {
        let number = draw(&mut random);
        store.put(&key(number), &[round as u8; 100]).unwrap();
        if round % 100 == 0 {
            while store.maintain().unwrap() {}
        }
        if round % 20 == 0 {
            let stats = store.stats();
            highest = highest.max(stats.disk_bytes as f64 / stats.live_bytes as f64);
        }
        if round == 5 * PAIRS {
            half = store.stats();
        }
    }
    let stats = store.stats();
    let written = (stats.written_bytes - half.written_bytes) as f64;
    let copied = (stats.compaction_bytes_written - half.compaction_bytes_written) as f64;
    let amplification = (written + copied) / written;
    println!("{space_amplification} %: space {highest:.3}, writing {amplification:.3}");
    (highest, amplification)
}

const PAIRS: u64 = 8000;

fn uniform(random: &mut Random) -> u64 {
    random.below(PAIRS)
}

/// Draws by Zipf's law with exponent 0.99, the popular keys scattered.
fn zipfian() -> impl FnMut(&mut Random) -> u64 {
    let mut sum = 0.0;
    let sums: Vec<f64> = (1..=PAIRS)
        .map(|rank| {
            sum += (rank as f64).powf(-0.99);
            sum
        })
        .collect();
    move |random| {
        let point = random.below(1 << 53) as f64 / (1_u64 << 53) as f64 * sum;
        let rank = sums.partition_point(|it| *it < point) as u64;
        // A bijection, since 4999 is prime and no divisor of the number of pairs.
        rank * 4999 % PAIRS
    }
}

#[test]
fn steady_overwriting_takes_at_most_half_as_much_space_again_by_default() {
    let bound = Options::default().space_amplification;
    for (space, writing) in [overwrite(bound, uniform), overwrite(bound, zipfian())] {
        assert!(space <= 1.5 && writing < 2.0, "{space} {writing}");
    }
}

#[test]
fn less_space_is_kept_to_where_it_is_asked_for() {
    for (space, _) in [overwrite(133, uniform), overwrite(133, zipfian())] {
        assert!(space <= 1.35, "{space}");
    }
}

#[test]
fn segments_are_small_where_the_store_is() {
    let options = Options::default();
    assert_eq!(options.usual_segment_size(0), 5 << 20);
    assert_eq!(options.usual_segment_size(640 << 20), 10 << 20);
    assert_eq!(options.usual_segment_size(1 << 40), 64 << 20);
    let small = Options {
        segment_size: 4096,
        ..options
    };
    assert_eq!(small.usual_segment_size(1 << 30), 4096);
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
    let open = || -> Vec<std::path::PathBuf> {
        let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
        let files = descriptors.filter_map(|it| std::fs::read_link(it.unwrap().path()).ok());
        files
            .filter(|file| file.starts_with(directory.path()))
            .collect()
    };
    // On a busy machine another test's reader can be in the way for longer than closing waits; then that test collects.
    let patience = std::time::Instant::now();
    while !open().is_empty() && patience.elapsed().as_secs() < 20 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(open(), Vec::<std::path::PathBuf>::new());
}
