//! Puts that return when they are durable, by several threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use freyja_peers::engine::Engine;
use freyja_peers::pairs::Pairs;
use freyja_peers::turn;

use crate::timing::tell;

/// How long each number of threads puts.
const TURN: Duration = Duration::from_secs(2);

/// Numbers of threads, and what their rates are called.
pub const THREADS: [(usize, &str); 2] = [
    (1, "durable puts, 1 thread"),
    (8, "durable puts, 8 threads"),
];

/// Puts new pairs, prints how many a second, and looks whether all are there.
pub fn put(engine: &dyn Engine, pairs: &Pairs, answers: bool) {
    let next = AtomicU64::new(0);
    for (threads, name) in THREADS {
        let first = next.load(Ordering::Relaxed);
        let elapsed = turn::take(threads, TURN, |end| {
            let mut session = engine.session();
            while Instant::now() < end {
                let number = next.fetch_add(1, Ordering::Relaxed);
                session.put(&pairs.key(number), pairs.value(number, 1));
            }
        });
        let puts = next.load(Ordering::Relaxed) - first;
        let rate = puts as f64 / elapsed.as_secs_f64();
        tell(&format!("{name}, a second"), rate);
    }
    let mut session = engine.session();
    for number in 0..next.into_inner() {
        let mut same = false;
        let expected = pairs.value(number, 1);
        session.get(&pairs.key(number), &mut |value| same = value == expected);
        assert!(same || !answers, "pair {number} is not as it was put");
    }
}
