//! The stores, behind one trait, so that all do the same work.

use std::path::Path;

use crate::pairs::KEY_LEN;

mod bare;
mod berkeley;
mod dynamic;
mod failure;
mod fjall;
mod freyja;
mod kyoto;
mod leveldb;
mod lmdb;
mod null;
mod redb;
mod rocksdb;
mod sled;
mod sqlite;
mod tkrzw;

pub use freyja::{FREYJA_LIBRARY, build as build_freyja};

/// When a put returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When it survives a power loss.
    Synced,
    /// When it survives the death of the process, where the store has such a mode; nothing is synced.
    Cached,
}

/// How a store is opened.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// When a put returns.
    pub durability: Durability,
    /// How many pairs it will hold, for stores that have to be told to be fast.
    pub pairs: u64,
    /// Whether to tell it also those that need not know.
    pub tells_all: bool,
    /// Length in bytes of the values.
    pub value_len: usize,
    /// Whether it compacts by itself, where it can be told not to.
    pub compacts: bool,
    /// Whether it compares what it reads with checksums, where it can be told not to.
    pub checks_values: bool,
    /// Bytes that stores which gather writes in memory keep there.
    pub write_buffer: usize,
}

impl Opening {
    /// A store for so many pairs, with a write buffer of 64 MiB, that compacts as it likes.
    pub fn new(durability: Durability, pairs: u64, value_len: usize) -> Self {
        Self {
            durability,
            pairs,
            tells_all: false,
            value_len,
            compacts: true,
            checks_values: true,
            write_buffer: 64 << 20,
        }
    }

    /// Bytes of all keys and values.
    pub fn raw_bytes(&self) -> u64 {
        self.pairs * (KEY_LEN + self.value_len) as u64
    }

    /// Bytes of a cache for stores that want one of their own: everything fits, up to 4 GiB.
    pub fn cache_bytes(&self) -> u64 {
        (self.raw_bytes() * 2).clamp(256 << 20, 4 << 30)
    }
}

/// A store that a benchmark can open.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Its name, as its users write it.
    pub name: &'static str,
    /// The options that it is opened with, for the report.
    pub options: &'static str,
    open: fn(&Path, &Opening) -> Opened,
    /// Whether it gives back what was put: the null store does not.
    pub answers: bool,
    /// Whether it is a store, which keeps what it was given, and with which others are compared.
    pub is_store: bool,
    /// Whether it has calls and options of which most others have no match, which are measured besides.
    pub has_more: bool,
}

/// Why a store cannot be measured here.
#[derive(Clone, Debug)]
pub struct Absent(pub String);

/// An opened store, or why there is none.
pub type Opened = Result<Box<dyn Engine>, Absent>;

/// What a store tells about its log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Bytes of its files.
    pub disk_bytes: u64,
    /// Bytes of records that are still needed.
    pub live_bytes: u64,
    /// Bytes of records that were put since it was opened.
    pub written_bytes: u64,
    /// Bytes that compaction has written since.
    pub compaction_bytes: u64,
}

/// An open store.
pub trait Engine: Send + Sync {
    /// What a thread works with.
    fn session(&self) -> Box<dyn Session + '_>;
    /// The same, working by other calls; `None` if the store has none of these.
    fn session_by(&self, _: Calls) -> Option<Box<dyn Session + '_>> {
        None
    }
    /// The version of its library.
    fn version(&self) -> String;
    /// What it tells about its log, if it does.
    fn counters(&self) -> Option<Counters> {
        None
    }
    /// Closes it as its users do.
    fn close(self: Box<Self>);
}

/// Calls besides those that a session makes unless told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// Gets answer with memory that belongs to the caller, who frees it; scans show one pair after the other.
    Owned,
    /// Gets show the value where it lies, and keep it there until it is let go.
    Pinned,
    /// Many pairs are put packed in one buffer.
    Packed,
}

/// One thread's way into an open store. A failure of the store ends the benchmark.
pub trait Session {
    /// Stores a value under a key, new or not.
    fn put(&mut self, key: &[u8], value: &[u8]);
    /// Shows the value of a key; false if there is none.
    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> bool;
    /// Shows every pair once, in any order.
    fn scan(&mut self, see: &mut dyn FnMut(&[u8], &[u8]));
    /// Stores pairs by one call or one transaction; false if the store has neither.
    fn put_many(&mut self, _: &[Pair<'_>]) -> bool {
        false
    }
    /// Shows the value of every key that is there, by one call, each with the key's place; false if the store has no such call.
    fn get_many(&mut self, _: &[[u8; KEY_LEN]], _: &mut dyn FnMut(usize, &[u8])) -> bool {
        false
    }
}

/// A key and its value.
pub type Pair<'p> = ([u8; KEY_LEN], &'p [u8]);

/// Every store, Freyja first, and then what is none: the least that a store does, and the null store.
pub const KINDS: [Kind; 13] = [
    freyja::KIND,
    lmdb::KIND,
    kyoto::KIND,
    tkrzw::KIND,
    leveldb::KIND,
    rocksdb::KIND,
    sqlite::KIND,
    berkeley::KIND,
    redb::KIND,
    fjall::KIND,
    sled::KIND,
    bare::KIND,
    null::KIND,
];

impl Kind {
    /// Opens the store in `directory`, which is made if it does not exist.
    pub fn open(&self, directory: &Path, opening: &Opening) -> Opened {
        (self.open)(directory, opening)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairs::{Pairs, fold};

    #[test]
    fn every_store_gives_back_what_was_put_also_after_it_was_closed() {
        let pairs = Pairs::new(100);
        let opening = |durability| Opening::new(durability, 1000, 100);
        for kind in KINDS.into_iter().filter(|kind| kind.is_store) {
            let place = tempfile::tempdir().expect("a temporary directory");
            let directory = place.path().join("store");
            let engine = match kind.open(&directory, &opening(Durability::Cached)) {
                Ok(engine) => engine,
                Err(absent) => {
                    println!("skipped: {}: {}", kind.name, absent.0);
                    continue;
                }
            };
            let mut session = engine.session();
            for number in 0..1000 {
                session.put(&pairs.key(number), pairs.value(number, 0));
            }
            for number in 0..500 {
                session.put(&pairs.key(number), pairs.value(number, 1));
            }
            check(&mut *session, &pairs);
            drop(session);
            engine.close();
            let opened = match kind.open(&directory, &opening(Durability::Synced)) {
                Err(_) => kind.open(&directory, &opening(Durability::Cached)),
                synced => synced,
            };
            let Ok(engine) = opened else {
                panic!("{} cannot be opened again", kind.name);
            };
            check(&mut *engine.session(), &pairs);
            engine.close();
        }
    }

    #[test]
    fn every_store_shows_each_pair_once_and_takes_and_gives_many_together() {
        for value_len in [100, 4096] {
            show_take_and_give_many(value_len);
        }
    }

    fn show_take_and_give_many(value_len: usize) {
        let pairs = Pairs::new(value_len);
        let key = |number| pairs.key(number);
        let opening = Opening::new(Durability::Cached, 1000, value_len);
        for kind in KINDS.into_iter().filter(|kind| kind.answers) {
            let place = tempfile::tempdir().expect("a directory");
            let Ok(engine) = kind.open(&place.path().join("store"), &opening) else {
                continue;
            };
            let ways = [Calls::Owned, Calls::Pinned, Calls::Packed];
            let others = ways
                .into_iter()
                .filter_map(|calls| engine.session_by(calls));
            let sessions: Vec<_> = [engine.session()].into_iter().chain(others).collect();
            let mut first = 0;
            for mut session in sessions {
                let numbers = first..first + 100;
                let together = numbers.map(|number| (key(number), pairs.value(number, 0)));
                let together: Vec<Pair<'_>> = together.collect();
                if !session.put_many(&together) {
                    together
                        .iter()
                        .for_each(|(key, value)| session.put(key, value));
                }
                first += 100;
                let (mut count, mut sum) = (0, 0_u64);
                session.scan(&mut |key, value| {
                    count += 1;
                    sum = sum.wrapping_add(fold(key, value));
                });
                let folds = (0..first).map(|number| fold(&key(number), pairs.value(number, 0)));
                let expected = folds.fold(0, u64::wrapping_add);
                assert_eq!((count, sum), (first, expected), "{}", kind.name);
                for number in 0..first {
                    let mut same = false;
                    let expected = pairs.value(number, 0);
                    assert!(session.get(&key(number), &mut |value| same = value == expected));
                    assert!(same, "{}: pair {number}", kind.name);
                }
                assert!(!session.get(&key(first), &mut |_| {}), "{}", kind.name);
                let keys = [key(3), key(first), key(0)];
                let mut seen = Vec::new();
                if session.get_many(&keys, &mut |place, value| {
                    seen.push((place, value.to_vec()))
                }) {
                    let value = |number| pairs.value(number, 0).to_vec();
                    assert_eq!(seen, [(0, value(3)), (2, value(0))], "{}", kind.name);
                }
            }
            engine.close();
        }
    }

    fn check(session: &mut dyn Session, pairs: &Pairs) {
        for number in 0..1000 {
            let expected = pairs.value(number, u64::from(number < 500));
            let mut same = false;
            let found = session.get(&pairs.key(number), &mut |value| same = value == expected);
            assert!(found && same, "pair {number}");
        }
        assert!(!session.get(&pairs.key(1000), &mut |_| {}));
    }
}
