//! Lets threads use a store, and writes down what each call did and when.

use std::path::Path;
use std::time::Instant;

use freyja::store::{Batch, KeyStorage, Options, ReadMode, Store, SyncMode};

use crate::checker::{Action, Event, LONGEST};
use crate::random::Random;

const THREADS: u64 = 4;
const KEYS: usize = 3;

/// How the store is opened.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    read_mode: ReadMode,
    key_storage: KeyStorage,
    sync_mode: SyncMode,
    background: bool,
}

impl Setting {
    pub fn number(number: u64) -> Self {
        let bit = |at: u64| number >> at & 1 == 0;
        Self {
            read_mode: if bit(0) {
                ReadMode::Mapped
            } else {
                ReadMode::Pread
            },
            key_storage: if bit(1) {
                KeyStorage::InMemory
            } else {
                KeyStorage::OnDisk
            },
            // Syncing takes real time: less often.
            sync_mode: if number % 8 == 5 {
                SyncMode::Always
            } else {
                SyncMode::None
            },
            background: bit(2),
        }
    }

    /// The smallest segments, so that the log rotates and images are written meanwhile.
    fn open(&self, path: &Path) -> Store {
        let options = Options {
            read_mode: self.read_mode,
            key_storage: self.key_storage,
            sync_mode: self.sync_mode,
            background_threads: u32::from(self.background),
            segment_size: 4096,
            ..Options::default()
        };
        Store::open(path, &options).unwrap()
    }
}

fn key(number: usize) -> [u8; 2] {
    [b'k', number as u8]
}

/// A value that tells its number; long enough to fill segments.
fn value(number: u64) -> Vec<u8> {
    let mut bytes = vec![number as u8; 40 + number as usize % 200];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

fn number_of(found: Option<&[u8]>) -> Option<u64> {
    found.map(|bytes| {
        let number = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        assert_eq!(bytes, value(number), "bytes of two values");
        number
    })
}

fn read_all(store: &Store) -> Vec<Option<u64>> {
    let keys: Vec<[u8; 2]> = (0..KEYS).map(key).collect();
    let slices: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
    let values = store.get_many(&slices).unwrap();
    values
        .into_iter()
        .map(|it| number_of(it.unwrap().as_deref()))
        .collect()
}

/// Runs `call` and writes down when.
fn timed<T>(clock: &Instant, call: impl FnOnce() -> T) -> (u64, u64, T) {
    let now = || u64::try_from(clock.elapsed().as_nanos()).unwrap();
    let begin = now();
    let answer = call();
    (begin, now(), answer)
}

/// Runs `work` in all threads at the same time on a store of its own, and gathers what they write down.
fn run<T: Send>(setting: Setting, work: impl Fn(&Store, &Instant, u64) -> Vec<T> + Sync) -> Vec<T> {
    let directory = tempfile::tempdir().unwrap();
    let store = setting.open(&directory.path().join("store"));
    let clock = Instant::now();
    let barrier = std::sync::Barrier::new(THREADS as usize);
    let written = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (store, clock, barrier, work) = (&store, &clock, &barrier, &work);
                scope.spawn(move || {
                    barrier.wait();
                    work(store, clock, thread)
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|it| it.join().unwrap())
            .collect()
    });
    store.close().unwrap();
    written
}

/// Puts, gets, deletes, batches and gets of many keys: the events of each key.
pub fn mixed(setting: Setting, seed: u64) -> Vec<Vec<Event>> {
    // Every call touches every key at most once.
    let calls = LONGEST as u64 / THREADS;
    let events = run(setting, |store, clock, thread| {
        let mut random = Random::new(seed * THREADS + thread + 1);
        let mut events = Vec::new();
        for call in 0..calls {
            let at = random.below(KEYS as u64) as usize;
            let number = 1 + thread + THREADS * call;
            let mut add =
                |begin, end, at: usize, action| events.push((at, Event { begin, end, action }));
            match random.below(10) {
                0..=2 => {
                    let bytes = value(number);
                    let (begin, end, put) = timed(clock, || store.put(&key(at), &bytes));
                    put.unwrap();
                    add(begin, end, at, Action::Put(number));
                }
                3 => {
                    let (begin, end, found) = timed(clock, || store.delete(&key(at)));
                    add(begin, end, at, Action::Delete(found.unwrap()));
                }
                4..=6 => {
                    let (begin, end, seen) = timed(clock, || store.get(&key(at)));
                    let seen = number_of(seen.unwrap().as_deref());
                    add(begin, end, at, Action::Read(seen));
                }
                7 => {
                    let mut batch = Batch::new();
                    for at in 0..KEYS {
                        batch.put(&key(at), &value(number)).unwrap();
                    }
                    let (begin, end, written) = timed(clock, || store.write(&batch));
                    written.unwrap();
                    for at in 0..KEYS {
                        add(begin, end, at, Action::Put(number));
                    }
                }
                _ => {
                    let (begin, end, seen) = timed(clock, || read_all(store));
                    for (at, seen) in seen.into_iter().enumerate() {
                        add(begin, end, at, Action::Read(seen));
                    }
                }
            }
        }
        events
    });
    let mut by_key = vec![Vec::new(); KEYS];
    for (at, event) in events {
        by_key[at].push(event);
    }
    by_key
}

/// Batches that write all keys and gets of all keys: together they are one thing, read and written as a whole.
pub fn batches_and_readers(setting: Setting, seed: u64) -> Vec<Event> {
    let calls = LONGEST as u64 / THREADS;
    run(setting, |store, clock, thread| {
        let mut random = Random::new(seed * THREADS + thread + 77);
        let mut events = Vec::new();
        for call in 0..calls {
            let number = 1 + thread + THREADS * call;
            let (begin, end, action) = if random.below(3) == 0 {
                let mut batch = Batch::new();
                for at in 0..KEYS {
                    batch.put(&key(at), &value(number)).unwrap();
                }
                let (begin, end, written) = timed(clock, || store.write(&batch));
                written.unwrap();
                (begin, end, Action::Put(number))
            } else {
                let (begin, end, seen) = timed(clock, || read_all(store));
                assert!(
                    seen.iter().all(|it| *it == seen[0]),
                    "parts of batches: {seen:?}"
                );
                (begin, end, Action::Read(seen[0]))
            };
            events.push(Event { begin, end, action });
        }
        events
    })
}
