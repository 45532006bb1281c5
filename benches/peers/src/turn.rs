//! Some threads that do the same for a while.

use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Lets so many threads `work` until the moment that each is told, `turn` after all have begun; answers how long it took until
/// the last one was done.
pub fn take(threads: usize, turn: Duration, work: impl Fn(Instant) + Sync) -> Duration {
    let begin = Barrier::new(threads + 1);
    let mut began = None;
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                begin.wait();
                work(Instant::now() + turn);
            });
        }
        begin.wait();
        began = Some(Instant::now());
    });
    began.expect("the scope has run").elapsed()
}
