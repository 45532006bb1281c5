//! Doing the steps of a plan against the clock.

use std::time::Instant;

use freyja_peers::engine::Session;

use crate::workload::{Books, Plan};

/// Of so many operations one is timed on its own.
const TIMED: usize = 16;

/// What some work took.
pub struct Done {
    /// Operations a second.
    pub rate: f64,
    /// Of the operations that were timed on their own, in nanoseconds: half, 99 % and 99.9 % took no longer.
    pub quantiles: [u64; 3],
    /// How many answers were not what had been put.
    pub wrong: u64,
}

impl Done {
    /// Prints it as what `name` took; a store that should answer must have been right.
    pub fn tell(&self, name: &str, books: &Books) {
        books.judge(name, self.wrong);
        tell(&format!("{name}, a second"), self.rate);
        for (quantile, time) in ["p50", "p99", "p99.9"].into_iter().zip(self.quantiles) {
            tell(&format!("{name}, {quantile}"), time as f64);
        }
    }
}

/// Prints a number for the process that collects them.
pub fn tell(what: &str, number: f64) {
    println!("number\t{what}\t{number}");
}

/// Does all of `plan`.
pub fn run(plan: &Plan, session: &mut dyn Session, books: &mut Books) -> Done {
    let mut times = Vec::with_capacity(plan.len() / TIMED + 1);
    let mut wrong = 0;
    let began = Instant::now();
    for at in 0..plan.len() {
        if at % TIMED != 0 {
            wrong += u64::from(!plan.step(at, session, books));
            continue;
        }
        let began = Instant::now();
        wrong += u64::from(!plan.step(at, session, books));
        times.push(began.elapsed().as_nanos() as u64);
    }
    let elapsed = began.elapsed();
    times.sort_unstable();
    let quantile = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    Done {
        rate: plan.len() as f64 / elapsed.as_secs_f64(),
        quantiles: [0.5, 0.99, 0.999].map(quantile),
        wrong,
    }
}
