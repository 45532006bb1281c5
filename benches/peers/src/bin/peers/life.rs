//! What a process does that measures one store.

use std::fs;
use std::time::Instant;

use freyja_peers::engine::{Durability, Engine, Opening};

use crate::arguments::{Arguments, Child, Task};
use crate::workload::{Books, Work};

/// Of so many operations one is timed on its own.
const TIMED: usize = 16;

/// Does what `child` says, and prints lines of a name and numbers, which [`crate::results`] knows.
pub fn live(child: &Child, arguments: &Arguments) {
    let (pairs, value_len) = (arguments.pairs[0], arguments.value_lens[0]);
    let opening = Opening::new(Durability::Cached, pairs, value_len);
    let mut books = Books::new(pairs, value_len, child.kind.answers);
    let plan = books.plan(Work::GetHit);
    let before = resident();
    let began = Instant::now();
    let engine = match child.kind.open(&arguments.directory, &opening) {
        Ok(engine) => engine,
        Err(absent) => {
            println!("absent\t{}", absent.0);
            return;
        }
    };
    match child.task {
        Task::Work => {
            println!("version\t{}", engine.version());
            work(&*engine, &mut books, before);
            engine.close();
        }
        Task::FillAndClose => {
            run(&*engine, Work::Fill, &mut books);
            engine.close();
        }
        Task::FillAndDie => {
            run(&*engine, Work::Fill, &mut books);
            println!("filled");
            // SAFETY: sends a signal to this very process; no memory is involved.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        }
        Task::Open => {
            let mut books = books.filled();
            plan.step(0, &mut *engine.session(), &mut books);
            let opened = began.elapsed();
            println!("open\t{}", opened.as_secs_f64() * 1e3);
            run(&*engine, Work::GetHit, &mut books);
            engine.close();
        }
    }
}

fn work(engine: &dyn Engine, books: &mut Books, before: [u64; 2]) {
    for (work, name) in Work::ALL {
        let done = run(engine, work, books);
        println!(
            "work\t{name}\t{}\t{}\t{}\t{}",
            done.rate, done.quantiles[0], done.quantiles[1], done.quantiles[2]
        );
        if work == Work::GetMiss {
            let now = resident();
            let [anonymous, file] = [0, 1].map(|at| now[at].saturating_sub(before[at]));
            println!("memory\t{anonymous}\t{file}");
        }
    }
}

/// What some work took.
struct Done {
    /// Operations a second.
    rate: f64,
    /// Of the operations that were timed on their own, in nanoseconds: half, 99 % and 99.9 % took no longer.
    quantiles: [u64; 3],
}

fn run(engine: &dyn Engine, work: Work, books: &mut Books) -> Done {
    let plan = books.plan(work);
    let mut times = Vec::with_capacity(plan.len() / TIMED + 1);
    let mut session = engine.session();
    let began = Instant::now();
    for at in 0..plan.len() {
        if at % TIMED != 0 {
            plan.step(at, &mut *session, books);
            continue;
        }
        let began = Instant::now();
        plan.step(at, &mut *session, books);
        times.push(began.elapsed().as_nanos() as u64);
    }
    let elapsed = began.elapsed();
    drop(session);
    times.sort_unstable();
    let quantile = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    Done {
        rate: plan.len() as f64 / elapsed.as_secs_f64(),
        quantiles: [0.5, 0.99, 0.999].map(quantile),
    }
}

/// Bytes of this process's memory: those that no file backs, and those that one does.
fn resident() -> [u64; 2] {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells a process its memory");
    let bytes = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        number.expect("a number of KiB") * 1024
    };
    [bytes("RssAnon:"), bytes("RssFile:") + bytes("RssShmem:")]
}
