//! The two clocks of a benchmark, in nanoseconds.

use rustix::time::{ClockId, clock_gettime};

/// Time as it passes.
pub fn wall_time() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

/// How long this thread has had a processor, in its own code or in the system's: what other programs take of the machine
/// is not in it. Costs a system call.
pub fn processor_time() -> u64 {
    nanoseconds(ClockId::ThreadCPUTime)
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
