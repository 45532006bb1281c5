//! How long single operations take.

use hdrhistogram::Histogram;

use crate::clocks::{processor_time, wall_time};

/// The longest time that is told apart: a hundred seconds.
const LONGEST_NANOSECONDS: u64 = 100_000_000_000;

/// Latencies of one kind of operation: on the clock, and of processor time. Takes all its memory when it is made.
pub struct Latencies {
    wall: Histogram<u32>,
    processor: Histogram<u32>,
    /// The longest on the clock, and what it took of the processor.
    slowest: [u64; 2],
}

/// What latencies amount to, in nanoseconds. Quantiles are exact to 1 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub wall: Quantiles,
    pub processor: Quantiles,
    /// Processor time of the operation that took longest on the clock.
    pub processor_of_slowest: u64,
}

/// What [`Quantiles`] are.
pub const NAMES: [&str; 4] = ["p50", "p99", "p99.9", "slowest"];

pub type Quantiles = [u64; NAMES.len()];

impl Latencies {
    pub fn new() -> Latencies {
        let histogram = || {
            let mut histogram = Histogram::new_with_bounds(1, LONGEST_NANOSECONDS, 2)
                .expect("the bounds are possible");
            // Writes to all of its memory, so that no page of it comes while something else is measured.
            histogram.reset();
            histogram
        };
        Latencies {
            wall: histogram(),
            processor: histogram(),
            slowest: [0; 2],
        }
    }

    /// Does `operation` and counts how long it took. The processor's clock is read outside the time on the clock, so
    /// that its own cost counts as processor time alone.
    #[inline]
    pub fn time<R>(&mut self, operation: impl FnOnce() -> R) -> R {
        let processor = processor_time();
        let wall = wall_time();
        let result = operation();
        let wall = wall_time() - wall;
        let processor = processor_time() - processor;
        self.wall.saturating_record(wall);
        self.processor.saturating_record(processor);
        if wall > self.slowest[0] {
            self.slowest = [wall, processor];
        }
        result
    }

    pub fn summary(&self) -> Summary {
        let [slowest, processor_of_slowest] = self.slowest;
        let quantiles = |histogram: &Histogram<u32>, slowest| {
            let [half, of_100, of_1000] =
                [0.5, 0.99, 0.999].map(|quantile| histogram.value_at_quantile(quantile));
            [half, of_100, of_1000, slowest]
        };
        Summary {
            wall: quantiles(&self.wall, slowest),
            processor: quantiles(&self.processor, self.processor.max()),
            processor_of_slowest,
        }
    }
}
