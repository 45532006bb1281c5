//! The stores, behind one trait, so that all do the same work.

use std::path::Path;

use crate::pairs::KEY_LEN;

mod dynamic;
mod failure;
mod freyja;
mod kyoto;
mod leveldb;
mod lmdb;
mod null;
mod rocksdb;
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
    /// How many pairs it will hold, for stores that want to be told.
    pub pairs: u64,
    /// Length in bytes of the values.
    pub value_len: usize,
    /// Whether it compacts by itself, where it can be told not to.
    pub compacts: bool,
    /// Bytes that stores which gather writes in memory keep there.
    pub write_buffer: usize,
}

impl Opening {
    /// A store for so many pairs, with a write buffer of 64 MiB, that compacts as it likes.
    pub fn new(durability: Durability, pairs: u64, value_len: usize) -> Self {
        Self {
            durability,
            pairs,
            value_len,
            compacts: true,
            write_buffer: 64 << 20,
        }
    }

    /// Bytes of all keys and values.
    pub fn raw_bytes(&self) -> u64 {
        self.pairs * (KEY_LEN + self.value_len) as u64
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
    /// The version of its library.
    fn version(&self) -> String;
    /// What it tells about its log, if it does.
    fn counters(&self) -> Option<Counters> {
        None
    }
    /// Closes it as its users do.
    fn close(self: Box<Self>);
}

/// One thread's way into an open store. A failure of the store ends the benchmark.
pub trait Session {
    /// Stores a value under a key, new or not.
    fn put(&mut self, key: &[u8], value: &[u8]);
    /// Shows the value of a key; false if there is none.
    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> bool;
}

/// Every store, Freyja first, and the null store last.
pub const KINDS: [Kind; 7] = [
    freyja::KIND,
    lmdb::KIND,
    kyoto::KIND,
    tkrzw::KIND,
    leveldb::KIND,
    rocksdb::KIND,
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
    use crate::pairs::Pairs;

    #[test]
    fn every_store_gives_back_what_was_put_also_after_it_was_closed() {
        let pairs = Pairs::new(100);
        let opening = |durability| Opening::new(durability, 1000, 100);
        for kind in KINDS.into_iter().filter(|kind| kind.answers) {
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
