//! Keeps compaction to so many bytes a second.

use std::time::Duration;

use crate::vfs::Vfs;

/// It sleeps at most so long at a time, to hear of a close.
const NAP: Duration = Duration::from_millis(20);

/// How fast a merge may go on.
pub struct Pace {
    bytes_per_second: u64,
    begun: Duration,
    bytes: u64,
}

impl Pace {
    /// A pace of `bytes_per_second`, from now on; 0 is as fast as possible.
    pub fn new(bytes_per_second: u64, vfs: &dyn Vfs) -> Self {
        Self {
            bytes_per_second,
            begun: vfs.monotonic(),
            bytes: 0,
        }
    }

    /// Takes note of `bytes` more, and sleeps as long as they came too early and `go_on` says yes.
    pub fn count(&mut self, bytes: u64, vfs: &dyn Vfs, go_on: impl Fn() -> bool) {
        self.bytes += bytes;
        let Some(due) = self.due() else {
            return;
        };
        let mut ahead = (self.begun + due).saturating_sub(vfs.monotonic());
        while !ahead.is_zero() && go_on() {
            let nap = ahead.min(NAP);
            std::thread::sleep(nap);
            ahead -= nap;
        }
    }

    /// How long it should have taken so far.
    fn due(&self) -> Option<Duration> {
        let nanoseconds = u128::from(self.bytes) * 1_000_000_000;
        let nanoseconds = nanoseconds.checked_div(u128::from(self.bytes_per_second))?;
        Some(Duration::from_nanos(u64::try_from(nanoseconds).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::SimulatedDisk;

    #[test]
    fn so_many_bytes_take_as_long_as_the_pace_says() {
        let disk = SimulatedDisk::new(1);
        let mut pace = Pace::new(1 << 20, &disk);
        pace.count(1 << 19, &disk, || false);
        assert_eq!(pace.due(), Some(Duration::from_millis(500)));
        assert_eq!(Pace::new(0, &disk).due(), None);
    }
}
