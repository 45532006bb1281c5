//! Keeps a thread to a steady rate, in bursts of a millisecond.

use std::time::{Duration, Instant};

/// Between two bursts.
const PERIOD: Duration = Duration::from_millis(1);
/// Who is behind by more does not catch up.
const MOST_BEHIND: Duration = Duration::from_millis(100);

/// When the next burst begins.
pub struct Pace {
    next: Instant,
}

impl Pace {
    /// A pace that begins now.
    pub fn new() -> Self {
        Self {
            next: Instant::now(),
        }
    }

    /// Sleeps until the next burst is due.
    pub fn wait(&mut self) {
        let now = Instant::now();
        if self.next > now {
            std::thread::sleep(self.next - now);
        } else if now - self.next > MOST_BEHIND {
            self.next = now;
        }
        self.next += PERIOD;
    }
}
