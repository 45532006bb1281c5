//! Threads that work at the same time for a while.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Does something so many times; it is told the number of the first.
pub type Work<'w> = Box<dyn Fn(u64, u64) + Sync + 'w>;

/// How often something is done between two looks at whether the time is over.
const TIMES: u64 = 1 << 10;

/// How long all work.
const TURN: Duration = Duration::from_millis(400);

/// Works with one thread for each of `counted` and of `others` at the same time. Answers how often the counted ones did theirs in
/// a second, together. Their numbers begin at `first`, far apart.
pub fn work(counted: &[&Work<'_>], others: &[&Work<'_>], first: u64) -> f64 {
    let over = AtomicBool::new(false);
    let begin = Barrier::new(counted.len() + others.len() + 1);
    let do_it = |work: &Work<'_>, first: u64| {
        begin.wait();
        let (began, mut times) = (Instant::now(), 0);
        while !over.load(Relaxed) {
            work(first + times, TIMES);
            times += TIMES;
        }
        times as f64 / began.elapsed().as_secs_f64()
    };
    thread::scope(|scope| {
        let mut crew = Vec::new();
        for (number, work) in (0..).zip(counted.iter().chain(others)) {
            let (do_it, first) = (&do_it, first + (number << 32));
            crew.push(scope.spawn(move || do_it(work, first)));
        }
        begin.wait();
        thread::sleep(TURN);
        over.store(true, Relaxed);
        let rates = crew.into_iter().map(|member| member.join());
        let rates = rates.map(|rate| rate.expect("a thread ends as it should"));
        // All are waited for, and only the first of them are counted.
        let rates: Vec<f64> = rates.collect();
        rates[..counted.len()].iter().sum()
    })
}
