//! What the stores have to do, drawn before the clock runs.

use freyja_peers::engine::Session;
use freyja_peers::pairs::{Pairs, fold, mix};
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
    /// How often each pair has been put, beginning anew at 1, by number; pairs beyond the end are not there.
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

    /// The keys and values.
    pub fn pairs(&self) -> &Pairs {
        &self.pairs
    }

    /// The value that pair `number` has now.
    #[inline]
    pub fn value(&self, number: u64) -> &[u8] {
        let version = self.versions[number as usize];
        self.pairs.value(number, u64::from(version))
    }

    /// Notes that pair `number` is put, with what [`value`](Self::value) is from now on.
    #[inline]
    pub fn put(&mut self, number: u64) {
        let version = &mut self.versions[number as usize];
        // The most popular pairs are put more often than can be counted; 0 is none of their versions.
        *version = version.checked_add(1).unwrap_or(1);
    }

    /// Whether the store gives back what pair `number` was last put with.
    #[inline]
    pub fn is_right(&self, number: u64, session: &mut dyn Session) -> bool {
        let expected = self.value(number);
        let mut same = false;
        let key = self.pairs.key(number);
        session.get(&key, &mut |value| same = value == expected);
        same
    }

    /// How many pairs there are, and the sum of what [`fold`] says of them.
    pub fn fold(&self) -> (u64, u64) {
        let there = (0..self.versions.len() as u64).filter(|at| self.versions[*at as usize] > 0);
        there.fold((0, 0), |(count, sum), number| {
            let fold = fold(&self.pairs.key(number), self.value(number));
            (count + 1, u64::wrapping_add(sum, fold))
        })
    }

    /// Ends the process if a store that should answer has given `wrong` answers.
    pub fn judge(&self, doing: &str, wrong: u64) {
        assert!(
            wrong == 0 || !self.answers,
            "{doing}: {wrong} answers are not what was put"
        );
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

    /// The number of the pair that step `at` is about.
    #[inline]
    pub fn number(&self, at: usize) -> u64 {
        self.steps[at].number()
    }

    /// Does step `at`; answers whether the store told what it should.
    #[inline]
    pub fn step(&self, at: usize, session: &mut dyn Session, books: &mut Books) -> bool {
        let step = self.steps[at];
        let number = step.number();
        match step.action() {
            Action::Get if self.is_there => books.is_right(number, session),
            Action::Get => !session.get(&books.pairs.key(number), &mut |_| {}),
            Action::Put => {
                put(number, session, books);
                true
            }
            Action::Change => {
                let is_right = books.is_right(number, session);
                put(number, session, books);
                is_right
            }
        }
    }
}

#[inline]
fn put(number: u64, session: &mut dyn Session, books: &mut Books) {
    books.put(number);
    session.put(&books.pairs.key(number), books.value(number));
}
