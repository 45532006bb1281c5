//! Operation counters that do not make threads share cache lines.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

const STRIPES: usize = 16;

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
    /// A put that succeeded.
    Put,
    /// A get or existence check, whatever it found.
    Get,
    /// A delete that removed a key.
    Delete,
}

/// One cache line pair (adjacent lines are fetched together on x86) of counters.
#[derive(Default)]
#[repr(align(128))]
struct Stripe([AtomicU64; 3]);

/// Counters striped by thread: counting writes only to the thread's own stripe unless more than
/// sixteen threads count at once; reading sums the stripes.
#[derive(Default)]
pub struct Counters {
    stripes: [Stripe; STRIPES],
}

static NEXT_STRIPE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static STRIPE: usize = NEXT_STRIPE.fetch_add(1, Ordering::Relaxed) % STRIPES;
}

impl Counters {
    /// Counts one `operation`.
    #[inline(always)]
    pub fn count(&self, operation: Operation) {
        self.add(operation, 1);
    }

    /// Counts `number` of `operation`.
    #[inline(always)]
    pub fn add(&self, operation: Operation, number: u64) {
        // A thread that is ending has no stripe of its own any more.
        let stripe = STRIPE.try_with(|stripe| *stripe).unwrap_or(0);
        self.stripes[stripe].0[operation as usize].fetch_add(number, Ordering::Relaxed);
    }

    /// How often `operation` was counted.
    pub fn total(&self, operation: Operation) -> u64 {
        self.stripes
            .iter()
            .map(|stripe| stripe.0[operation as usize].load(Ordering::Relaxed))
            .fold(0, u64::wrapping_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_all_threads_are_summed() {
        let counters = Counters::default();
        std::thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        counters.count(Operation::Get);
                    }
                    counters.count(Operation::Put);
                });
            }
        });
        assert_eq!(counters.total(Operation::Get), 4000);
        assert_eq!(counters.total(Operation::Put), 40);
        assert_eq!(counters.total(Operation::Delete), 0);
    }
}
