//! What the stores have to do, drawn before the clock runs.

use freyja_peers::engine::Session;
use freyja_peers::pairs::{Pairs, mix};
use freyja_peers::zipf::Zipf;

/// One kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Puts every pair, in no order.
    Fill,
    /// Gets every pair, in another order.
    GetHit,
    /// Gets pairs of which some are much more popular.
    GetZipf,
    /// Gets keys that are not there.
    GetMiss,
    /// Puts every pair again with another value.
    Overwrite,
    /// YCSB A: half gets, half puts, popular pairs.
    YcsbA,
    /// YCSB B: 95 % gets.
    YcsbB,
    /// YCSB C: gets only.
    YcsbC,
    /// YCSB D: 95 % gets of what was put last, 5 % new pairs.
    YcsbD,
    /// YCSB F: half gets, half gets followed by a put of the same key.
    YcsbF,
}

impl Work {
    /// All, in the order in which they are done.
    pub const ALL: [(Self, &'static str); 10] = [
        (Self::Fill, "fill"),
        (Self::GetHit, "get hit"),
        (Self::GetZipf, "get zipf"),
        (Self::GetMiss, "get miss"),
        (Self::Overwrite, "overwrite"),
        (Self::YcsbA, "YCSB A"),
        (Self::YcsbB, "YCSB B"),
        (Self::YcsbC, "YCSB C"),
        (Self::YcsbD, "YCSB D"),
        (Self::YcsbF, "YCSB F"),
    ];
}

/// A single operation, in four bytes: the number of a pair and what is done with it.
#[derive(Clone, Copy)]
struct Step(u32);

enum Action {
    Get,
    Put,
    Change,
}

impl Step {
    fn new(action: Action, number: u64) -> Self {
        Self(((action as u32) << 30) | number as u32)
    }

    fn action(self) -> Action {
        match self.0 >> 30 {
            0 => Action::Get,
            1 => Action::Put,
            _ => Action::Change,
        }
    }

    fn number(self) -> u64 {
        u64::from(self.0 & ((1 << 30) - 1))
    }
}

/// Most pairs: what a step's number can tell.
pub const MOST_PAIRS: u64 = 1 << 29;

/// The state of the pairs, as the store must have them.
pub struct Books {
    pairs: Pairs,
    /// How often each pair has been put, by number; pairs beyond the end are not there.
    versions: Vec<u16>,
    /// Whether answers must be right.
    answers: bool,
    filled: u64,
}

impl Books {
    /// A store without pairs, which will be filled with so many.
    pub fn new(filled: u64, value_len: usize, answers: bool) -> Self {
        Self {
            pairs: Pairs::new(value_len),
            // Room for those that YCSB D adds.
            versions: vec![0; filled as usize + filled as usize / 10],
            answers,
            filled,
        }
    }

    /// Books of a store that has been filled before and not changed since.
    pub fn filled(mut self) -> Self {
        let filled = self.filled as usize;
        self.versions[..filled].fill(1);
        self
    }

    /// The steps of `work`.
    pub fn plan(&self, work: Work) -> Plan {
        let count = self.filled;
        let mut added = 0;
        let mut zipf = Zipf::new(count, work as u64);
        let shuffled = |action: fn() -> Action, first: u64| {
            let mut steps: Vec<Step> = (first..first + count)
                .map(|number| Step::new(action(), number))
                .collect();
            for last in (1..steps.len()).rev() {
                let other = mix(last as u64 ^ ((work as u64) << 40)) % (last as u64 + 1);
                steps.swap(last, other as usize);
            }
            steps
        };
        let mut mixed = |percent: u64, change: fn() -> Action| {
            let step = |at| match mix(at ^ ((work as u64) << 48)) % 100 < percent {
                true => Step::new(change(), zipf.draw()),
                false => Step::new(Action::Get, zipf.draw()),
            };
            (0..count).map(step).collect()
        };
        let steps = match work {
            Work::Fill | Work::Overwrite => shuffled(|| Action::Put, 0),
            Work::GetHit => shuffled(|| Action::Get, 0),
            Work::GetMiss => shuffled(|| Action::Get, 2 * count),
            Work::GetZipf | Work::YcsbC => mixed(0, || Action::Get),
            Work::YcsbA => mixed(50, || Action::Put),
            Work::YcsbB => mixed(5, || Action::Put),
            Work::YcsbF => mixed(50, || Action::Change),
            Work::YcsbD => {
                let step = |at: u64| {
                    if mix(at ^ (77 << 48)) % 100 < 5 {
                        added += 1;
                        return Step::new(Action::Put, count + added - 1);
                    }
                    // Popular is what came last.
                    let back = zipf.rank();
                    Step::new(Action::Get, count + added - 1 - back)
                };
                (0..count).map(step).collect()
            }
        };
        Plan {
            steps,
            is_there: work != Work::GetMiss,
        }
    }
}

/// Steps in order.
pub struct Plan {
    steps: Vec<Step>,
    is_there: bool,
}

impl Plan {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Does step `at`, and checks what the store answers.
    #[inline]
    pub fn step(&self, at: usize, session: &mut dyn Session, books: &mut Books) {
        let step = self.steps[at];
        let number = step.number();
        let key = books.pairs.key(number);
        match step.action() {
            Action::Get => self.get(number, &key, session, books),
            Action::Put => put(number, &key, session, books),
            Action::Change => {
                self.get(number, &key, session, books);
                put(number, &key, session, books);
            }
        }
    }

    #[inline]
    fn get(&self, number: u64, key: &[u8], session: &mut dyn Session, books: &Books) {
        if !self.is_there {
            let found = session.get(key, &mut |_| {});
            assert!(!found || !books.answers, "pair {number} was never put");
            return;
        }
        let version = books.versions[number as usize];
        let expected = books.pairs.value(number, u64::from(version));
        let mut same = false;
        session.get(key, &mut |value| same = value == expected);
        assert!(
            same || !books.answers,
            "pair {number}: not the value that was put"
        );
    }
}

#[inline]
fn put(number: u64, key: &[u8], session: &mut dyn Session, books: &mut Books) {
    books.versions[number as usize] += 1;
    let version = books.versions[number as usize];
    session.put(key, books.pairs.value(number, u64::from(version)));
}
