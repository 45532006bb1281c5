//! What is written down while operations run.

use std::time::Instant;

use crate::activity::waited_for_processor;

/// An operation that takes longer is looked at more closely, in nanoseconds.
const SLOW: u32 = 500_000;

/// When an operation began, in microseconds since the phase did, and how long it took, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    pub at: u32,
    pub took: u32,
}

/// A slow operation, and for how many nanoseconds its thread was ready and had no processor around that time.
#[derive(Clone, Copy, Debug)]
pub struct Slow {
    pub operation: Operation,
    pub waited: u64,
}

impl Slow {
    /// For how many nanoseconds it took without these.
    pub fn own(&self) -> u64 {
        u64::from(self.operation.took).saturating_sub(self.waited)
    }
}

/// All operations of one thread.
pub struct Recording {
    began: Instant,
    waited: u64,
    pub operations: Vec<Operation>,
    pub slow: Vec<Slow>,
}

impl Recording {
    /// Nothing yet, of a phase that began then; takes memory for so many operations.
    pub fn new(began: Instant, capacity: usize) -> Self {
        Self {
            began,
            waited: waited_for_processor(),
            operations: Vec::with_capacity(capacity),
            slow: Vec::new(),
        }
    }

    /// To be called before some operations, so that waiting for a processor before them does not count as theirs.
    pub fn begin_burst(&mut self) {
        self.waited = waited_for_processor();
    }

    /// Does `operation` and writes down how long it took.
    #[inline]
    pub fn time(&mut self, operation: &mut dyn FnMut()) {
        let began = Instant::now();
        operation();
        let took = u32::try_from(began.elapsed().as_nanos()).unwrap_or(u32::MAX);
        let at = (began - self.began).as_micros();
        let operation = Operation {
            at: u32::try_from(at).unwrap_or(u32::MAX),
            took,
        };
        self.operations.push(operation);
        if took >= SLOW {
            let waited = waited_for_processor();
            self.slow.push(Slow {
                operation,
                waited: waited.saturating_sub(self.waited),
            });
            self.waited = waited;
        }
    }
}
