//! What is measured.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use freyja_peers::engine::{Durability, Engine, KINDS, Kind, Opening};
use freyja_peers::pairs::Pairs;
use freyja_peers::turn;

use crate::raw::{RECORD_LEN, Raw, Way};
use crate::rounds::VALUE_LEN;

/// What takes its turn.
pub struct Contender {
    /// Its name in the report.
    pub name: String,
    /// Its options, if it is a store.
    pub options: &'static str,
    work: Work,
    /// Number of the next pair, so that every put is of a new key.
    next: AtomicU64,
}

enum Work {
    Raw(Raw),
    Store(Box<dyn Engine>),
}

/// Names of the three ways to write without a store.
pub const RAW: [(&str, Way); 3] = [
    ("raw, appended", Way::Appended),
    ("raw, preallocated", Way::Preallocated),
    ("raw, recycled", Way::Recycled),
];

/// The stores of this benchmark.
fn kinds() -> impl Iterator<Item = Kind> {
    let measured = ["Freyja", "LevelDB", "RocksDB"];
    KINDS
        .into_iter()
        .filter(move |kind| measured.contains(&kind.name))
}

impl Contender {
    /// All that can be measured here, with their files in `directory`; says which are left out.
    pub fn all(directory: &Path) -> Vec<Self> {
        let new = |name: String, options, work| Self {
            name,
            options,
            work,
            next: AtomicU64::new(0),
        };
        let raw = RAW.map(|(name, way)| {
            let raw = Raw::create(&directory.join(name), way);
            new(name.to_owned(), "", Work::Raw(raw))
        });
        let mut contenders = Vec::from(raw);
        let opening = Opening::new(Durability::Synced, 1_000_000, VALUE_LEN);
        for kind in kinds() {
            match kind.open(&directory.join(kind.name), &opening) {
                Ok(engine) => {
                    let name = format!("{} {}", kind.name, engine.version());
                    contenders.push(new(name, kind.options, Work::Store(engine)));
                }
                Err(absent) => eprintln!("left out: {}: {}", kind.name, absent.0),
            }
        }
        contenders
    }

    /// Puts with so many threads for `turn`; answers how many a second.
    pub fn run(&self, threads: usize, turn: Duration, pairs: &Pairs) -> f64 {
        let first = self.next.load(Ordering::Relaxed);
        let elapsed = turn::take(threads, turn, |end| self.put_until(end, pairs));
        let puts = self.next.load(Ordering::Relaxed) - first;
        puts as f64 / elapsed.as_secs_f64()
    }

    fn put_until(&self, end: Instant, pairs: &Pairs) {
        let next = || self.next.fetch_add(1, Ordering::Relaxed);
        match &self.work {
            Work::Raw(raw) => {
                while Instant::now() < end {
                    raw.put(&[next() as u8; RECORD_LEN]);
                }
            }
            Work::Store(engine) => {
                let mut session = engine.session();
                while Instant::now() < end {
                    let number = next();
                    session.put(&pairs.key(number), pairs.value(number, 0));
                }
            }
        }
    }

    /// Checks that everything that was put is there, and closes what is open.
    pub fn finish(self, pairs: &Pairs) {
        let Work::Store(engine) = self.work else {
            return;
        };
        let mut session = engine.session();
        for number in 0..self.next.into_inner() {
            let mut same = false;
            let expected = pairs.value(number, 0);
            session.get(&pairs.key(number), &mut |value| same = value == expected);
            assert!(same, "{}: pair {number} is not as it was put", self.name);
        }
        drop(session);
        engine.close();
    }
}
