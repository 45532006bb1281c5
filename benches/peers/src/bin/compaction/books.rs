//! What the store must answer while one thread puts and another gets.

use std::sync::atomic::{AtomicU32, Ordering};

use freyja_peers::engine::Session;
use freyja_peers::pairs::{Pairs, mix};
use freyja_peers::zipf::Zipf;

use crate::arguments::Keys;

/// Draws of pair numbers.
pub enum Draw {
    /// Each as likely as any other.
    Uniform { count: u64, state: u64 },
    /// Few of them most of the time.
    Zipfian(Zipf),
}

impl Draw {
    /// Draws of numbers below `count`, which another `seed` makes others.
    pub fn new(keys: Keys, count: u64, seed: u64) -> Self {
        match keys {
            Keys::Uniform => Self::Uniform {
                count,
                state: mix(seed),
            },
            Keys::Zipfian => Self::Zipfian(Zipf::new(count, seed)),
        }
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        match self {
            Self::Uniform { count, state } => {
                *state = state.wrapping_add(1);
                mix(*state) % *count
            }
            Self::Zipfian(zipf) => zipf.draw(),
        }
    }
}

/// How often each pair has been overwritten. One thread puts, any number get.
pub struct Books {
    pairs: Pairs,
    begun: Vec<AtomicU32>,
    done: Vec<AtomicU32>,
}

impl Books {
    /// Books of so many pairs that have been put once.
    pub fn new(count: u64, value_len: usize) -> Self {
        let zeros = || (0..count).map(|_| AtomicU32::new(0)).collect();
        Self {
            pairs: Pairs::new(value_len),
            begun: zeros(),
            done: zeros(),
        }
    }

    /// How many pairs there are.
    pub fn count(&self) -> u64 {
        self.begun.len() as u64
    }

    /// Puts all pairs for the first time.
    pub fn fill(&self, session: &mut dyn Session) {
        for number in 0..self.count() {
            session.put(&self.pairs.key(number), self.pairs.value(number, 0));
        }
    }

    /// Puts the next value of pair `number`; `timed` does what it is given, and measures it.
    pub fn put(
        &self,
        number: u64,
        session: &mut dyn Session,
        timed: impl FnOnce(&mut dyn FnMut()),
    ) {
        let at = number as usize;
        let version = self.begun[at].load(Ordering::Relaxed) + 1;
        let key = self.pairs.key(number);
        let value = self.pairs.value(number, u64::from(version));
        self.begun[at].store(version, Ordering::SeqCst);
        timed(&mut || session.put(&key, value));
        self.done[at].store(version, Ordering::SeqCst);
    }

    /// Gets pair `number` and checks that its value is one that it had meanwhile; `timed` does what it is given, and measures
    /// it.
    pub fn get(
        &self,
        number: u64,
        session: &mut dyn Session,
        seen: &mut Vec<u8>,
        timed: impl FnOnce(&mut dyn FnMut()),
    ) {
        let at = number as usize;
        let key = self.pairs.key(number);
        let first = self.done[at].load(Ordering::SeqCst);
        let mut found = false;
        timed(&mut || {
            seen.clear();
            found = session.get(&key, &mut |value| seen.extend_from_slice(value));
        });
        let last = self.begun[at].load(Ordering::SeqCst);
        let mut possible = (first..=last).map(|version| self.pairs.value(number, version.into()));
        assert!(
            found && possible.any(|value| value == &seen[..]),
            "pair {number} is not as it was put"
        );
    }
}
