//! What needs a process of its own: dying without closing, and opening in a process that has not seen the store.

use std::io::Write;
use std::time::{Duration, Instant};

use freyja::store::{OpenMode, Options, Store, SyncMode};
use rustix::process::{Signal, getpid, kill_process};
use rustix::time::{ClockId, clock_gettime};

use crate::arguments::Arguments;
use crate::workload::{KEY_BYTES, key, value_length};

fn options(arguments: &Arguments) -> Options {
    Options {
        sync_mode: SyncMode::None,
        background_threads: arguments.threads,
        ..Options::default()
    }
}

pub fn fill(arguments: &Arguments) {
    let filling = Options {
        expected_keys: arguments.keys,
        // Only the one at close is of use.
        image_segments: u32::MAX,
        ..options(arguments)
    };
    let store = Store::open(&arguments.directory, &filling).expect("a store can be made");
    for round in 0..arguments.rounds {
        put(&store, arguments, 0..arguments.keys, round);
        eprintln!("round {} of {} put", round + 1, arguments.rounds);
    }
    store.close().expect("the store can be closed");
}

/// Nine tenths of a segment, half of them new keys.
pub fn extend(arguments: &Arguments) {
    let extending = Options {
        image_segments: 0,
        ..options(arguments)
    };
    let store = Store::open(&arguments.directory, &extending).expect("the store opens");
    let mean = KEY_BYTES + (arguments.values.start() + arguments.values.end()) / 2 + 20;
    let count = extending.segment_size * 9 / 10 / mean as u64;
    let from = arguments.keys.saturating_sub(count / 2);
    put(&store, arguments, from..from + count, arguments.rounds);
    die();
}

fn put(store: &Store, arguments: &Arguments, numbers: std::ops::Range<u64>, version: u64) {
    let value = vec![b'v'; *arguments.values.end()];
    for number in numbers {
        let length = value_length(number, version, &arguments.values);
        let put = store.put(&key(number), &value[..length]);
        put.expect("a pair can be put");
    }
}

pub fn open(arguments: &Arguments) {
    let options = Options {
        mode: OpenMode::MustExist,
        ..options(arguments)
    };
    let processor_before = processor_time();
    let begun = Instant::now();
    let store = Store::open(&arguments.directory, &options).expect("the store opens");
    let opened = begun.elapsed();
    let value = store.get(&key(0)).expect("the value can be read");
    let first_get = begun.elapsed();
    let processor = processor_time() - processor_before;
    assert!(value.is_some(), "the first key is there");
    for number in (0..arguments.keys).step_by(1000) {
        let value = store.get(&key(number)).expect("the value can be read");
        let value = value.expect("every key is there");
        let versions = 0..=arguments.rounds;
        let mut lengths = versions.map(|it| value_length(number, it, &arguments.values));
        assert!(lengths.any(|length| value.len() == length));
    }
    let stats = store.stats();
    println!(
        "{} {} {} {} {} {} {}",
        opened.as_micros(),
        first_get.as_micros(),
        processor.as_micros(),
        stats.recovery_way,
        stats.recovered_records,
        stats.keys,
        (stats.index_bytes + stats.slab_allocated_bytes) / stats.keys.max(1),
    );
    std::io::stdout().flush().expect("the figures can be told");
    // Closing would write an image, which is not what is measured.
    die();
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn die() -> ! {
    kill_process(getpid(), Signal::KILL).expect("a process may kill itself");
    unreachable!("nobody survives that");
}
