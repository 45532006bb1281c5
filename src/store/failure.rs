//! The first failure of a store, and whether it stopped all writing.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, ErrorKind, Result};

/// Remembers the first failure. After a failed write or sync nothing is known of the bytes concerned
/// (Rebello et al., "Can Applications Recover from fsync Failures?", ATC 2020), so writing stops for good;
/// reading goes on.
#[derive(Default)]
pub struct Failure {
    first: OnceLock<Error>,
    stopped: AtomicBool,
}

impl Failure {
    /// Keeps `error` if it is the first one; writing goes on.
    pub fn record(&self, error: &Error) {
        let _ = self.first.set(error.clone());
    }

    /// Keeps `error` if it is the first one, and stops all writing.
    pub fn stop_writing(&self, error: &Error) {
        self.record(error);
        self.stopped.store(true, Ordering::Release);
    }

    /// The first failure, if there was one.
    pub fn first(&self) -> Option<Error> {
        self.first.get().cloned()
    }

    /// Refuses with [`ErrorKind::Failed`] once writing has been stopped.
    #[inline]
    pub fn check_writable(&self) -> Result<()> {
        if self.stopped.load(Ordering::Acquire) {
            return Err(self.refusal());
        }
        Ok(())
    }

    #[cold]
    fn refusal(&self) -> Error {
        let cause = self.first.get().map_or("unknown", Error::message);
        Error::new(
            ErrorKind::Failed,
            format!(
                "writing has stopped after a failure; close and open the store again ({cause})"
            ),
        )
    }
}
