//! Ends the test when a run hangs, and says which.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Much more than any run takes, on a busy machine as well.
const LIMIT: Duration = Duration::from_secs(60);

/// Watches one run at a time.
#[derive(Clone, Default)]
pub struct Watchdog(Arc<Mutex<Option<(String, Instant)>>>);

impl Watchdog {
    /// A watchdog for as long as the process lives.
    pub fn start() -> Self {
        let dog = Self::default();
        let watched = dog.clone();
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(Duration::from_secs(1));
                if let Some((run, begun)) = &*watched.0.lock()
                    && begun.elapsed() > LIMIT
                {
                    eprintln!("no answer within {} s: {run}", LIMIT.as_secs());
                    std::process::abort();
                }
            }
        });
        dog
    }

    /// Watches `run` from now on instead of the last one.
    pub fn watch(&self, run: String) {
        *self.0.lock() = Some((run, Instant::now()));
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}
