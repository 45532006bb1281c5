//! Nobody waits for what the store does behind his back: a disk whose calls come back only when the test says so shows it.
#![allow(clippy::disallowed_methods)] // looks at the clock to end a test that would never end

#[path = "support/observed_disk.rs"]
mod observed_disk;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use freyja::store::{Options, Store, SyncMode};
use freyja::vfs::{Access, Vfs};
use observed_disk::{Call, ObservedDisk};

const STORE: &str = "/store";
const SEGMENT: u64 = 64 << 10;
const VALUE: usize = 1000;
/// Far longer than anything here takes that does not wait for the gate.
const NEVER: Duration = Duration::from_secs(300);

/// While it is closed, the last close of a segment that has been removed does not come back.
#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_closed: bool,
    /// Calls that wait.
    waiting: usize,
    /// Names, without what follows the dot, of files that have been removed.
    removed: BTreeSet<OsString>,
}

impl Gate {
    fn close(&self) {
        self.state.lock().unwrap().is_closed = true;
    }

    fn open(&self) {
        self.state.lock().unwrap().is_closed = false;
        self.changed.notify_all();
    }

    fn waiting(&self) -> usize {
        self.state.lock().unwrap().waiting
    }

    /// The file at `path` is about to be removed.
    fn removing(&self, path: &Path) {
        let stem = path.file_stem().unwrap_or_default().to_owned();
        self.state.lock().unwrap().removed.insert(stem);
    }

    /// Comes back when the file that was at `path` may be closed.
    fn pass(&self, path: &Path) {
        let stem = path.file_stem().unwrap_or_default();
        let is_segment = !stem.to_string_lossy().starts_with("index");
        let mut state = self.state.lock().unwrap();
        let is_held = |state: &State| state.is_closed && is_segment && state.removed.contains(stem);
        if is_held(&state) {
            state.waiting += 1;
            while is_held(&state) {
                state = self.changed.wait(state).unwrap();
            }
            state.waiting -= 1;
        }
    }

    /// What `work` answers, which must not depend on the gate's being opened.
    fn in_time<T: Send>(&self, what: &str, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let working = scope.spawn(work);
            let begun = Instant::now();
            while !working.is_finished() {
                if begun.elapsed() > NEVER {
                    self.open();
                    panic!("{what} waited for the disk");
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            working.join().unwrap()
        })
    }
}

/// A simulated disk behind a gate.
struct GatedDisk {
    disk: ObservedDisk,
    gate: Arc<Gate>,
}

impl GatedDisk {
    fn new() -> Self {
        let gate = Arc::<Gate>::default();
        let disk = ObservedDisk::new({
            let gate = gate.clone();
            move |call| match call {
                Call::Remove(path) => gate.removing(path),
                Call::Close(path) => gate.pass(path),
                Call::Create(_) | Call::Change => {}
            }
        });
        Self { disk, gate }
    }

    fn open_store(&self) -> Store {
        let options = Options {
            sync_mode: SyncMode::None,
            segment_size: SEGMENT,
            ..Options::default()
        };
        Store::open_on(Arc::new(self.disk.clone()), Path::new(STORE), &options).unwrap()
    }

    fn has_file(&self, path: &Path) -> bool {
        self.disk.open(path, Access::Read).is_ok()
    }
}

fn key(number: u64) -> [u8; 8] {
    number.to_le_bytes()
}

fn put(store: &Store, number: u64, round: u64) {
    store.put(&key(number), &[round as u8; VALUE]).unwrap();
}

fn expect(store: &Store, number: u64, round: u64) {
    let found = store.get(&key(number)).unwrap();
    assert_eq!(
        found.as_deref(),
        Some(&[round as u8; VALUE][..]),
        "key {number}"
    );
}

/// More puts than a segment holds.
const MANY: u64 = 2 * SEGMENT / VALUE as u64;

/// Puts, and gets what was put, until a call waits at the gate.
fn overwrite_until_held(disk: &GatedDisk, store: &Store) -> u64 {
    disk.gate.close();
    disk.gate.in_time("a put or a get", || {
        let begun = Instant::now();
        for round in 1_u64.. {
            for number in 0..MANY {
                put(store, number, round);
                expect(store, number, round);
            }
            if disk.gate.waiting() > 0 || begun.elapsed() > NEVER / 2 {
                return round;
            }
        }
        0
    })
}

#[test]
fn while_the_file_of_a_replaced_segment_is_being_closed_puts_and_gets_go_on() {
    let disk = GatedDisk::new();
    let store = disk.open_store();
    let round = overwrite_until_held(&disk, &store);
    assert_eq!(disk.gate.waiting(), 1);
    disk.gate.in_time("a put or a get", || {
        for number in 0..2 * MANY {
            put(&store, number, round + 1);
            expect(&store, number, round + 1);
        }
    });
    disk.gate.open();
    store.close().unwrap();
}

#[test]
fn the_file_of_a_replaced_segment_is_closed_when_the_last_pin_is_gone_and_nobody_waits_for_that() {
    let disk = GatedDisk::new();
    let store = disk.open_store();
    put(&store, 0, 1);
    let pinned = store.get_pinned(&key(0)).unwrap().unwrap();
    // Until the segment of the pinned value has been replaced.
    let first = Path::new(STORE).join(freyja::log::segment_name::file_name(1));
    disk.gate.in_time("a put", || {
        let begun = Instant::now();
        for round in 2_u64.. {
            (0..MANY).for_each(|number| put(&store, number, round));
            let is_there = disk.has_file(&first);
            if store.stats().compactions > 0 && !is_there || begun.elapsed() > NEVER / 2 {
                break;
            }
        }
    });
    store.compact(|_| true).unwrap();
    assert!(!disk.has_file(&first), "it is still there");
    disk.gate.close();
    assert_eq!(pinned.bytes(), &[1; VALUE]);
    disk.gate.in_time("letting go of a pin", || drop(pinned));
    disk.gate.open();
    store.close().unwrap();
}
