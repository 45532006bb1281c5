//! What this machine takes for the steps that any store is made of: `make bench-limits`.
//!
//! Each is repeated for a while, in turns, and the fastest turn counts: what else the machine does can only slow it down.
#![allow(clippy::disallowed_methods)] // a benchmark looks at files and clocks from outside the library

mod chase;
mod files;

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Instant;

use chase::{Chase, Pages};
use files::Records;
use freyja_peers::machine;
use freyja_peers::table::Table;
use freyja_peers::target_folder;

/// How often each step takes its turn.
const TURNS: usize = 5;

/// Something that is done so many times; it takes the number of the first.
type Step<'s> = (&'static str, u64, Box<dyn FnMut(u64, u64) + 's>);

fn main() {
    let directory = target_folder("bench-limits");
    std::fs::create_dir_all(&directory).expect("the directory can be made");
    let small = Chase::new(Pages::Small);
    let huge = Chase::new(Pages::Huge);
    let records = Records::create(&directory);
    let counter = AtomicU64::new(0);
    let mut steps: Vec<Step<'_>> = vec![
        (
            "load that waits for the one before, 1 GiB in pages of 4 KiB",
            1 << 20,
            Box::new(|_, times| small.dependent(times)),
        ),
        (
            "the same in pages of 2 MiB",
            1 << 20,
            Box::new(|_, times| huge.dependent(times)),
        ),
        (
            "load that waits for none, pages of 2 MiB",
            1 << 22,
            Box::new(|first, times| huge.independent(first, times)),
        ),
        (
            "copy of 128 B out of a mapped file of 512 MiB, in the page cache",
            1 << 20,
            Box::new(|first, times| records.copy(first, times)),
        ),
        (
            "pread of 128 B from it",
            1 << 18,
            Box::new(|first, times| records.read(first, times)),
        ),
        (
            "write of 128 B to the end of a file",
            1 << 18,
            Box::new(|_, times| records.append(times)),
        ),
        (
            "atomic addition that no other thread disturbs",
            1 << 22,
            Box::new(|_, times| {
                for _ in 0..times {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            }),
        ),
        (
            "fence that orders everything",
            1 << 22,
            Box::new(|_, times| {
                for _ in 0..times {
                    black_box(&counter).store(1, Ordering::Relaxed);
                    fence(Ordering::SeqCst);
                }
            }),
        ),
    ];
    let mut fastest = vec![f64::INFINITY; steps.len()];
    for turn in 0..TURNS {
        for ((_, times, step), fastest) in steps.iter_mut().zip(&mut fastest) {
            let began = Instant::now();
            step(turn as u64 * *times, *times);
            let nanoseconds = began.elapsed().as_nanos() as f64 / *times as f64;
            *fastest = fastest.min(nanoseconds);
        }
    }
    println!(
        "{}, {}; the fastest of {TURNS} turns.\n",
        machine::date(),
        machine::description()
    );
    let mut table = Table::new(1, &["", "ns"]);
    for ((name, _, _), fastest) in steps.iter().zip(fastest) {
        table.add(vec![name.to_string(), format!("{fastest:.1}")]);
    }
    println!("{table}");
}
