//! One round of every measurement.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use crate::contenders::{Contender, Store};
use crate::library::{Library, SYNC_ALWAYS};
use crate::workload::{KEY_LEN, VALUE_LEN, Workload};

/// Pairs of the durable measurement; each waits for the disk.
pub const DURABLE_PAIRS: usize = 1000;

/// The phases in the order in which they run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Put,
    GetInto,
    GetOwned,
    Miss,
    Overwrite,
    Delete,
}

pub const PHASES: [(Phase, &str); 6] = [
    (Phase::Put, "put"),
    (Phase::GetInto, "get hit, into the caller's memory"),
    (Phase::GetOwned, "get hit, into memory of its own"),
    (Phase::Miss, "get miss"),
    (Phase::Overwrite, "overwrite"),
    (Phase::Delete, "delete"),
];

/// Operations a second of each phase.
pub fn measure(contender: &mut impl Contender, workload: &Workload) -> Vec<f64> {
    let mut rates = Vec::new();
    for (phase, _) in PHASES {
        let began = Instant::now();
        run(contender, workload, phase);
        rates.push(workload.pairs as f64 / began.elapsed().as_secs_f64());
        if phase == Phase::Overwrite {
            check_all(contender, workload, 1);
        }
    }
    rates
}

fn run(contender: &mut impl Contender, workload: &Workload, phase: Phase) {
    let shuffled = workload.shuffled.iter().map(|number| *number as usize);
    match phase {
        Phase::Put => fill(contender, workload),
        Phase::GetInto => check_all(contender, workload, 0),
        Phase::GetOwned => shuffled.for_each(|number| {
            let check = |value: &[u8]| {
                assert!(
                    value == workload.value(number, 0),
                    "pair {number}: wrong value"
                )
            };
            assert!(
                contender.get_owned(&workload.key(number), check),
                "pair {number}: not found"
            );
        }),
        Phase::Miss => shuffled.for_each(|number| {
            let absent = workload.key(workload.pairs + number);
            assert!(
                !contender.get_into(&absent, &mut [0; VALUE_LEN]),
                "pair {number}: found what was never put"
            );
        }),
        Phase::Overwrite => {
            shuffled
                .for_each(|number| contender.put(&workload.key(number), workload.value(number, 1)));
        }
        Phase::Delete => {
            shuffled.for_each(|number| {
                assert!(
                    contender.delete(&workload.key(number)),
                    "pair {number}: not there"
                )
            });
        }
    }
}

/// Puts every pair, in the order of their numbers, which says nothing about the order of their keys.
pub fn fill(contender: &mut impl Contender, workload: &Workload) {
    for number in 0..workload.pairs {
        contender.put(&workload.key(number), workload.value(number, 0));
    }
}

/// Gets every pair in shuffled order and compares its value.
pub fn check_all(contender: &mut impl Contender, workload: &Workload, version: u64) {
    let mut value = [0; VALUE_LEN];
    for number in workload.shuffled.iter().map(|number| *number as usize) {
        assert!(
            contender.get_into(&workload.key(number), &mut value),
            "pair {number}: not found"
        );
        assert!(
            value == workload.value(number, version),
            "pair {number}: wrong value"
        );
    }
}

/// What one `write(2)` a record can do: the lengths, the key and the value, appended to `path`.
pub fn measure_log(path: &Path, workload: &Workload) -> f64 {
    let mut log = create(path);
    let began = Instant::now();
    for number in 0..workload.pairs {
        append(&mut log, &workload.key(number), workload.value(number, 0));
    }
    workload.pairs as f64 / began.elapsed().as_secs_f64()
}

/// The same with an `fdatasync` after each write.
pub fn measure_durable_log(path: &Path, workload: &Workload) -> f64 {
    let mut log = create(path);
    let began = Instant::now();
    for number in 0..DURABLE_PAIRS {
        append(&mut log, &workload.key(number), workload.value(number, 0));
        log.sync_data().expect("the log can be synced");
    }
    DURABLE_PAIRS as f64 / began.elapsed().as_secs_f64()
}

/// Puts that are durable when they return, one after the other.
pub fn measure_durable_store(library: &Library, directory: &Path, workload: &Workload) -> f64 {
    let mut store = Store::open(library, directory, SYNC_ALWAYS);
    let began = Instant::now();
    for number in 0..DURABLE_PAIRS {
        store.put(&workload.key(number), workload.value(number, 0));
    }
    let rate = DURABLE_PAIRS as f64 / began.elapsed().as_secs_f64();
    store.close();
    rate
}

fn create(path: &Path) -> File {
    OpenOptions::new()
        .create_new(true)
        .append(true)
        .open(path)
        .expect("the log can be created")
}

fn append(log: &mut File, key: &[u8; KEY_LEN], value: &[u8]) {
    let mut record = [0; 8 + KEY_LEN + VALUE_LEN];
    record[..4].copy_from_slice(&(KEY_LEN as u32).to_le_bytes());
    record[4..8].copy_from_slice(&(VALUE_LEN as u32).to_le_bytes());
    record[8..8 + KEY_LEN].copy_from_slice(key);
    record[8 + KEY_LEN..].copy_from_slice(value);
    log.write_all(&record).expect("the log can be written");
}
