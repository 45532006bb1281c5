//! Rounds in which the contestants take turns.

use std::hint::black_box;

use crate::Arguments;
use crate::clocks;
use crate::contestants::{Contestant, Jemalloc, Mimalloc, Pool, System, calloc};
use crate::workloads::{ALL, FOUR, Kind, Workload};

/// Operations before the first round of each, to learn how long one takes.
const TRIAL: usize = 200;

/// Nanoseconds an operation in each round.
#[derive(Default)]
pub struct Series(Vec<f64>);

impl Series {
    /// The median, `None` if the contestant cannot do the workload.
    pub fn median(&self) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied()
    }
}

/// What one workload took: Freyja, glibc, mimalloc, jemalloc.
pub struct Row {
    /// The workload.
    pub workload: &'static Workload,
    /// Whether memory was set to 0.
    pub clear: bool,
    /// The contestants' times.
    pub series: [Series; 4],
}

/// Everything that was measured.
pub struct Measured {
    /// By workload, without clearing and with it.
    pub rows: Vec<Row>,
    /// Fresh zeroed memory of the platform, of the sizes of `basic`.
    pub direct: Series,
}

/// Measures everything.
pub fn all(arguments: &Arguments) -> Measured {
    let clearing = |workload: &Workload| match workload.kind.can_clear() {
        true => &[false, true][..],
        false => &[false],
    };
    let rows = ALL.iter().flat_map(|workload| {
        clearing(workload).iter().map(|&clear| Row {
            workload,
            clear,
            series: Default::default(),
        })
    });
    let mut measured = Measured {
        rows: rows.collect(),
        direct: Series::default(),
    };
    for round in 0..arguments.rounds {
        eprint!("\rround {} of {}", round + 1, arguments.rounds);
        for row in &mut measured.rows {
            let pool = Pool::new(row.workload.classes);
            let nanoseconds = [
                of_pool(arguments, row, &pool),
                of(arguments, row, &System),
                of(arguments, row, &Mimalloc),
                of(arguments, row, &Jemalloc),
            ];
            for (series, nanoseconds) in row.series.iter_mut().zip(nanoseconds) {
                series.0.extend(nanoseconds);
            }
        }
        let direct = time(arguments, |i| {
            let address = black_box(calloc(black_box(FOUR[i % FOUR.len()])));
            // SAFETY: just got from the same allocator, and not used any more.
            unsafe { System.release(address) };
            Some(())
        });
        measured.direct.0.extend(direct);
    }
    eprintln!();
    measured
}

fn of_pool(arguments: &Arguments, row: &Row, pool: &Pool) -> Option<f64> {
    if !matches!(row.workload.kind, Kind::Statistics) {
        return of(arguments, row, pool);
    }
    let held: Vec<_> = (0..100).map(|i| pool.get(FOUR[i % 4])).collect();
    let nanoseconds = time(arguments, |_| {
        assert_eq!(black_box(pool.statistics()), 100);
        Some(())
    });
    for address in held {
        // SAFETY: got above, and not used any more.
        unsafe { pool.release(address) };
    }
    nanoseconds
}

fn of<C: Contestant>(arguments: &Arguments, row: &Row, contestant: &C) -> Option<f64> {
    let (kind, clear) = (row.workload.kind, row.clear);
    time(arguments, |i| kind.operate(contestant, i, clear))
}

/// Nanoseconds of processor time that an operation takes; `None` if it cannot be done.
fn time(arguments: &Arguments, mut operate: impl FnMut(usize) -> Option<()>) -> Option<f64> {
    let mut run = |operations: usize| {
        let start = clocks::processor_time();
        for i in 0..operations {
            operate(i)?;
        }
        Some((clocks::processor_time() - start).max(1) as f64 / operations as f64)
    };
    // Warms up, too.
    let nanoseconds = run(TRIAL)?;
    let operations = arguments.milliseconds as f64 * 1e6 / nanoseconds;
    run(operations.clamp(100.0, 1e6) as usize / 100 * 100)
}
