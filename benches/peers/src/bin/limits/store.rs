//! Freyja with many pairs, told how many they are.

use std::cell::Cell;
use std::path::Path;
use std::time::Instant;

use freyja_peers::engine::{Calls, Durability, Engine, KINDS, Opening, Pair};
use freyja_peers::pairs::{KEY_LEN, Pairs, mix};
use tempfile::TempDir;

use crate::Step;

/// How many keys are asked for by one call.
const TOGETHER: usize = 64;
/// How many pairs are put by one call.
const PUT_TOGETHER: usize = 100;

/// An open store.
pub struct Store {
    engine: Box<dyn Engine>,
    pairs: Pairs,
    /// How many pairs it had at first.
    first_count: u64,
    /// How many pairs it has.
    count: Cell<u64>,
    /// Keeps its files until it is dropped.
    _place: TempDir,
}

impl Store {
    /// Makes one of `count` pairs in `directory`. All have the values of their first version for ever.
    pub fn fill(directory: &Path, count: u64, value_len: usize) -> Self {
        let place = tempfile::tempdir_in(directory).expect("a temporary directory");
        let freyja = KINDS.into_iter().find(|kind| kind.name == "Freyja");
        let mut opening = Opening::new(Durability::Cached, count, value_len);
        opening.tells_all = true;
        let opened = freyja.map(|kind| kind.open(&place.path().join("store"), &opening));
        let Some(Ok(engine)) = opened else {
            panic!("Freyja cannot be opened");
        };
        let store = Self {
            engine,
            pairs: Pairs::new(value_len),
            first_count: count,
            count: Cell::new(0),
            _place: place,
        };
        store.add(count);
        store
    }

    fn add(&self, times: u64) {
        let mut session = self.engine.session();
        let first = self.count.get();
        for number in first..first + times {
            session.put(&self.pairs.key(number), self.pairs.value(number, 0));
        }
        self.count.set(first + times);
    }

    /// Ways to read one pair from it, each so many times.
    pub fn gets(&self, times: u64) -> [(&'static str, Step<'_>); 3] {
        [
            (
                "freyja_get_into, hit",
                Box::new(move |first| self.get(None, first, times)),
            ),
            (
                "freyja_get and freyja_free_buf, hit",
                Box::new(move |first| self.get(Some(Calls::Owned), first, times)),
            ),
            (
                "freyja_get_pinned and freyja_unpin, hit",
                Box::new(move |first| self.get(Some(Calls::Pinned), first, times)),
            ),
        ]
    }

    /// Other ways to read, each so many times.
    pub fn other_reads(&self, times: u64) -> [(&'static str, Step<'_>); 2] {
        [
            (
                "freyja_get_many of 64, a key",
                Box::new(move |first| self.get_many(first, times)),
            ),
            (
                "freyja_get_into, miss",
                Box::new(move |first| self.miss(first, times)),
            ),
        ]
    }

    /// Ways to write to it, each so many times.
    pub fn writes(&self, times: u64) -> [(&'static str, Step<'_>); 3] {
        [
            (
                "freyja_put of a key that is there",
                Box::new(move |first| self.put(first, times)),
            ),
            (
                "freyja_put of a new key",
                Box::new(move |_| self.add(times)),
            ),
            (
                "freyja_write of 100 puts of new keys, a put, with putting it into the batch",
                Box::new(move |_| self.add_together(times)),
            ),
        ]
    }

    fn add_together(&self, times: u64) {
        let mut session = self.engine.session();
        let (first, end) = (self.count.get(), self.count.get() + times);
        for begin in (first..end).step_by(PUT_TOGETHER) {
            let numbers = begin..end.min(begin + PUT_TOGETHER as u64);
            let mut together: [Pair<'_>; PUT_TOGETHER] = [([0; KEY_LEN], &[]); PUT_TOGETHER];
            let count = numbers.clone().count();
            for (pair, number) in together.iter_mut().zip(numbers) {
                *pair = (self.pairs.key(number), self.pairs.value(number, 0));
            }
            assert!(session.put_many(&together[..count]), "it can put many");
        }
        self.count.set(end);
    }

    /// What a pair of a scan takes in nanoseconds, the fastest of so many scans of all pairs. They are counted, and their bytes.
    pub fn scan(&self, scans: usize) -> f64 {
        let packed = self.engine.session_by(Calls::Packed);
        let mut session = packed.expect("Freyja fills buffers with pairs");
        let times = (0..scans).map(|_| {
            let (mut count, mut bytes) = (0, 0);
            let began = Instant::now();
            session.scan(&mut |key, value| {
                count += 1;
                bytes += (key.len() + value.len()) as u64;
            });
            let took = began.elapsed();
            assert_eq!(count, self.count.get(), "pairs are missing");
            let length = KEY_LEN + self.pairs.value_len();
            assert_eq!(bytes, count * length as u64, "bytes are missing");
            took.as_nanos() as f64 / count as f64
        });
        times.fold(f64::INFINITY, f64::min)
    }

    fn number(&self, draw: u64) -> u64 {
        mix(draw) % self.first_count
    }

    fn get(&self, calls: Option<Calls>, first: u64, times: u64) {
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

    fn get_many(&self, first: u64, times: u64) {
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

    fn miss(&self, first: u64, times: u64) {
        let mut session = self.engine.session();
        for draw in first..first + times {
            let found = session.get(&self.pairs.key(draw | 1 << 40), &mut |_| {});
            assert!(!found, "pair {draw} was never put");
        }
    }

    fn put(&self, first: u64, times: u64) {
        let mut session = self.engine.session();
        for draw in first..first + times {
            let number = self.number(draw);
            session.put(&self.pairs.key(number), self.pairs.value(number, 0));
        }
    }
}
