//! What batches take besides their keys and values, and how long it takes to fill, to roll back and to empty them.

use freyja::store::Batch;

use crate::clocks::{processor_time, wall_time};
use crate::report::grouped;
use crate::table::Table;

const KEY: usize = 16;
const VALUES: [usize; 2] = [100, 1000];
const SIZES: [usize; 3] = [10_000, 500_000, 5_000_000];

/// Puts before the rollback that is timed.
const ROLLED_BACK: u64 = 1_000_000;

pub fn section() -> String {
    let headings = [
        "payload, B",
        "value, B",
        "first, B",
        "over payload, %",
        "about it, %",
        "later ones, B",
        "over payload, %",
        "put, ns",
        "put in a new one, ns",
        "free, µs",
    ];
    let mut table = Table::new(0, &headings);
    for size in SIZES {
        for value in VALUES {
            table.add(row(size, value));
        }
    }
    let [median, slowest] = rollback();
    format!(
        "## Batches\n\n\
         Keys of {KEY} bytes, through the Rust interface. Bytes are all that a batch takes: its blocks, used or not, and what it knows of \
         them. The first\nbatch of its size is made when others were of other sizes; about it: the mean of 41 such of up to a fifth more or less; the later ones when some like them have been. \
         Medians of processor time: a\nput in a batch that is cleared again, one in a new batch that is freed again, both with that, and freeing one alone, with a look \
         at the clock.\n\n{table}\n\
         Rolling back {} puts, 21 times: {median} ns in the median, {slowest} ns at most, with the reading of a clock.\n",
        grouped(ROLLED_BACK)
    )
}

fn fill(batch: &mut Batch, size: usize, value: usize) -> u64 {
    let value = vec![7; value];
    let puts = (size / (KEY + value.len())) as u64;
    for number in 0..puts {
        let mut key = [0; KEY];
        key[..8].copy_from_slice(&number.to_le_bytes());
        batch.put(&key, &value).expect("there is memory");
    }
    puts
}

/// So that the process does not expect batches of the size that comes next.
fn expect_others() {
    for _ in 0..200 {
        fill(&mut Batch::new(), 1000, 100);
    }
}

/// How many keys and values the first batch of a size holds, how many bytes they have, and how many it takes.
fn first_of(size: usize, value: usize) -> (u64, usize, usize) {
    expect_others();
    let mut batch = Batch::new();
    let puts = fill(&mut batch, size, value);
    (puts, puts as usize * (KEY + value), batch.memory_bytes())
}

/// What first batches of up to a fifth more or less than a size take over their payload, in per cent of it, in the mean.
fn over_about(size: usize, value: usize) -> f64 {
    let over = (-20i32..=20).map(|per_cent| {
        let (_, payload, bytes) = first_of(size * (100 + per_cent) as usize / 100, value);
        (bytes as f64 / payload as f64 - 1.0) * 100.0
    });
    over.sum::<f64>() / 41.0
}

fn row(size: usize, value: usize) -> Vec<String> {
    let over_about = over_about(size, value);
    let (puts, payload, first) = first_of(size, value);
    // What is expected is what there was most of.
    for _ in 0..100 {
        fill(&mut Batch::new(), size, value);
    }
    let rounds = (20_000_000 / size).clamp(20, 500);
    // So many between two looks at the clock, which takes as long as ten puts.
    let repeats = (200_000 / size).max(1);
    let each = |time: u64| time as f64 / (repeats as u64 * puts) as f64;
    let (mut put, mut put_in_new, mut freed) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let began = processor_time();
        for _ in 0..repeats {
            fill(&mut Batch::new(), size, value);
        }
        put_in_new.push(each(processor_time() - began));
    }
    let mut batch = Batch::new();
    for _ in 0..rounds {
        let began = processor_time();
        for _ in 0..repeats {
            fill(&mut batch, size, value);
            batch.clear();
        }
        put.push(each(processor_time() - began));
    }
    let mut later = 0;
    for _ in 0..rounds {
        let mut batch = Batch::new();
        fill(&mut batch, size, value);
        later = batch.memory_bytes();
        let began = processor_time();
        drop(batch);
        freed.push((processor_time() - began) as f64 / 1000.0);
    }
    let over = |bytes: usize| format!("{:.1}", (bytes as f64 / payload as f64 - 1.0) * 100.0);
    vec![
        grouped(payload as u64),
        value.to_string(),
        grouped(first as u64),
        over(first),
        format!("{over_about:.1}"),
        grouped(later as u64),
        over(later),
        format!("{:.1}", median(&mut put)),
        format!("{:.1}", median(&mut put_in_new)),
        format!("{:.1}", median(&mut freed)),
    ]
}

/// Nanoseconds of a rollback on the clock, in the median and at most.
fn rollback() -> [u64; 2] {
    let mut times: Vec<u64> = (0..21)
        .map(|_| {
            let mut batch = Batch::new();
            fill(&mut batch, 1000, 100);
            let savepoint = batch.savepoint().expect("there is memory");
            fill(&mut batch, ROLLED_BACK as usize * (KEY + 100), 100);
            let began = wall_time();
            batch.rollback_to(savepoint).expect("it is there");
            wall_time() - began
        })
        .collect();
    times.sort_unstable();
    [times[times.len() / 2], times[times.len() - 1]]
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}
