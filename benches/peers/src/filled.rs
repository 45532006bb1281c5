//! Freyja with many pairs, told how many they are.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use crate::engine::{Calls, Durability, Engine, KINDS, Opening, Pair};
use crate::pairs::{KEY_LEN, Pairs, mix};
use tempfile::TempDir;

/// How many keys are asked for by one call.
const TOGETHER: usize = 64;
/// How many pairs are put by one call.
const PUT_TOGETHER: usize = 100;

/// An open store, which threads may read and overwrite at the same time.
pub struct Filled {
    engine: Box<dyn Engine>,
    pairs: Pairs,
    /// How many pairs it had at first.
    first_count: u64,
    /// How many pairs it has.
    count: AtomicU64,
    /// Keeps its files until it is dropped.
    _place: TempDir,
}

impl Filled {
    /// Makes one of `count` pairs in `directory`, opened with the defaults but for what `change` says. All have the values of their
    /// first version for ever.
    pub fn fill(
        directory: &Path,
        count: u64,
        value_len: usize,
        change: impl FnOnce(&mut Opening),
    ) -> Self {
        let place = tempfile::tempdir_in(directory).expect("a temporary directory");
        let freyja = KINDS.into_iter().find(|kind| kind.name == "Freyja");
        let mut opening = Opening::new(Durability::Cached, count, value_len);
        opening.tells_all = true;
        change(&mut opening);
        let opened = freyja.map(|kind| kind.open(&place.path().join("store"), &opening));
        let Some(Ok(engine)) = opened else {
            panic!("Freyja cannot be opened");
        };
        let store = Self {
            engine,
            pairs: Pairs::new(value_len),
            first_count: count,
            count: AtomicU64::new(0),
            _place: place,
        };
        store.add(count);
        store
    }

    /// Puts so many new pairs, which one thread at a time may do.
    pub fn add(&self, times: u64) {
        let mut session = self.engine.session();
        let first = self.count.load(Relaxed);
        for number in first..first + times {
            session.put(&self.pairs.key(number), self.pairs.value(number, 0));
        }
        self.count.store(first + times, Relaxed);
    }

    /// The same, a hundred by each call.
    pub fn add_together(&self, times: u64) {
        let mut session = self.engine.session();
        let (first, end) = (self.count.load(Relaxed), self.count.load(Relaxed) + times);
        for begin in (first..end).step_by(PUT_TOGETHER) {
            let numbers = begin..end.min(begin + PUT_TOGETHER as u64);
            let mut together: [Pair<'_>; PUT_TOGETHER] = [([0; KEY_LEN], &[]); PUT_TOGETHER];
            let count = numbers.clone().count();
            for (pair, number) in together.iter_mut().zip(numbers) {
                *pair = (self.pairs.key(number), self.pairs.value(number, 0));
            }
            assert!(session.put_many(&together[..count]), "it can put many");
        }
        self.count.store(end, Relaxed);
    }

    /// What a pair of a scan takes in nanoseconds, the fastest of so many scans of all pairs. They are counted, and their bytes.
    pub fn scan(&self, scans: usize) -> f64 {
        let mut session = self.engine.session();
        let times = (0..scans).map(|_| {
            let (mut count, mut bytes) = (0, 0);
            let began = Instant::now();
            session.scan(&mut |key, value| {
                count += 1;
                bytes += (key.len() + value.len()) as u64;
            });
            let took = began.elapsed();
            assert_eq!(count, self.count.load(Relaxed), "pairs are missing");
            let length = KEY_LEN + self.pairs.value_len();
            assert_eq!(bytes, count * length as u64, "bytes are missing");
            took.as_nanos() as f64 / count as f64
        });
        times.fold(f64::INFINITY, f64::min)
    }

    fn number(&self, draw: u64) -> u64 {
        mix(draw) % self.first_count
    }

    /// Reads so many pairs, by the usual calls or by others; `first` tells which.
    pub fn get(&self, calls: Option<Calls>, first: u64, times: u64) {
        let by = calls.and_then(|calls| self.engine.session_by(calls));
        let mut session = by.unwrap_or_else(|| self.engine.session());
        for draw in first..first + times {
            let number = self.number(draw);
            let expected = self.pairs.value(number, 0);
            let mut same = false;
            session.get(&self.pairs.key(number), &mut |value| {
                same = value == expected
            });
            assert!(same, "pair {number} is not as it was put");
        }
    }

    /// Reads so many pairs, 64 by each call.
    pub fn get_many(&self, first: u64, times: u64) {
        let mut session = self.engine.session();
        let mut right = 0;
        for first in (first..first + times).step_by(TOGETHER) {
            let numbers: [u64; TOGETHER] =
                std::array::from_fn(|place| self.number(first + place as u64));
            let keys: [[u8; KEY_LEN]; TOGETHER] = numbers.map(|number| self.pairs.key(number));
            session.get_many(&keys, &mut |place, value| {
                right += u64::from(value == self.pairs.value(numbers[place], 0));
            });
        }
        assert_eq!(right, times, "values are not as they were put");
    }

    /// Asks for so many keys that are not there.
    pub fn miss(&self, first: u64, times: u64) {
        let mut session = self.engine.session();
        for draw in first..first + times {
            let found = session.get(&self.pairs.key(draw | 1 << 40), &mut |_| {});
            assert!(!found, "pair {draw} was never put");
        }
    }

    /// Puts so many pairs that are there.
    pub fn put(&self, first: u64, times: u64) {
        let mut session = self.engine.session();
        for draw in first..first + times {
            let number = self.number(draw);
            session.put(&self.pairs.key(number), self.pairs.value(number, 0));
        }
    }
}
