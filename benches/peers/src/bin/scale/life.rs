//! What a process does that measures one size.

use std::time::Instant;

use freyja_peers::engine::{Durability, KINDS, Opening, Session};
use freyja_peers::pairs::{Pairs, mix};
use freyja_peers::resources::resident;

use crate::arguments::{Arguments, Child};

/// Length in bytes of the values.
pub const VALUE_LEN: usize = 8;
/// Most gets of each kind.
const GETS: u64 = 5_000_000;
/// Most overwrites.
const OVERWRITES: u64 = 1_000_000;
/// One pair in so many is overwritten, in all sizes alike: so few that compaction has nothing to do.
const OVERWRITTEN: u64 = 20;
/// One pair in so many is put before the kill, but no more than [`MOST_BEFORE_KILL`].
pub const PUT_BEFORE_KILL: u64 = 100;
/// Most pairs that are put before the kill.
pub const MOST_BEFORE_KILL: u64 = 100_000;

/// Does what `child` says, and prints names and numbers.
pub fn live(child: Child, arguments: &Arguments) {
    let count = arguments.sizes[0];
    let pairs = Pairs::new(VALUE_LEN);
    let name = match child {
        Child::Nothing => "nothing",
        _ => "Freyja",
    };
    let kind = KINDS.into_iter().find(|kind| kind.name == name);
    let kind = kind.expect("it is one of the stores");
    let opening = Opening::new(Durability::Cached, count, VALUE_LEN);
    let before = resident();
    let began = Instant::now();
    let engine = kind.open(&arguments.directory, &opening);
    let engine = engine.unwrap_or_else(|absent| panic!("{}: {}", kind.name, absent.0));
    let run = Run {
        session: engine.session(),
        pairs,
        count,
        answers: kind.answers,
    };
    match child {
        Child::Work | Child::Nothing => {
            work(run, before);
            engine.close();
        }
        Child::OpenAndDie | Child::Open => {
            opened(run, began, child);
            if child == Child::OpenAndDie {
                // SAFETY: sends a signal to this very process; no memory is involved.
                unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
            }
            engine.close();
        }
    }
}

/// A session, and what is in its store.
struct Run<'e> {
    session: Box<dyn Session + 'e>,
    pairs: Pairs,
    count: u64,
    answers: bool,
}

impl Run<'_> {
    /// Does so many operations, and prints how many nanoseconds one took.
    fn time(&mut self, name: &str, times: u64, mut operation: impl FnMut(&mut Self, u64)) {
        let began = Instant::now();
        for number in 0..times {
            operation(self, number);
        }
        println!(
            "{name}\t{}",
            began.elapsed().as_nanos() as f64 / times as f64
        );
    }

    fn put(&mut self, number: u64, version: u64) {
        let value = self.pairs.value(number, version);
        self.session.put(&self.pairs.key(number), value);
    }

    /// Whether the pair is there with the value of one of these versions.
    fn has(&mut self, number: u64, versions: std::ops::RangeInclusive<u64>) -> bool {
        let pairs = &self.pairs;
        let mut same = false;
        self.session.get(&pairs.key(number), &mut |value| {
            same = versions
                .clone()
                .any(|version| value == pairs.value(number, version));
        });
        same
    }
}

fn work(mut run: Run<'_>, before: [u64; 2]) {
    let (count, answers) = (run.count, run.answers);
    // Keys have no order in the first place.
    run.time("put", count, |run, number| run.put(number, 0));
    run.time("get hit", GETS.min(count), |run, draw| {
        let number = mix(draw) % count;
        assert!(
            run.has(number, 0..=0) || !answers,
            "pair {number} is not as it was put"
        );
    });
    run.time("get miss", GETS.min(count), |run, draw| {
        let number = count + draw;
        let key = run.pairs.key(number);
        let found = run.session.get(&key, &mut |_| {});
        assert!(!found || !answers, "pair {number} was never put");
    });
    let now = resident();
    println!(
        "memory\t{}",
        now[0].saturating_sub(before[0]) as f64 / count as f64
    );
    run.time(
        "overwrite",
        OVERWRITES.min(count / OVERWRITTEN),
        |run, draw| {
            run.put(mix(!draw) % count, 1);
        },
    );
}

/// Prints how long it took to the first answer, and looks at some pairs.
fn opened(mut run: Run<'_>, began: Instant, child: Child) {
    let count = run.count;
    let first = run.has(0, 0..=1);
    println!("opened\t{}", began.elapsed().as_secs_f64() * 1e3);
    assert!(first, "the first pair is there");
    for number in (0..count).step_by(97) {
        assert!(run.has(number, 0..=1), "pair {number} is not as it was put");
    }
    if child == Child::OpenAndDie {
        for draw in 0..MOST_BEFORE_KILL.min(count / PUT_BEFORE_KILL) {
            run.put(mix(!draw) % count, 1);
        }
    }
}
