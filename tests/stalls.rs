//! Nobody waits for what the store does behind his back: a disk whose calls come back only when the test says so shows it.
#![allow(clippy::disallowed_methods)] // looks at the clock to end a test that would never end

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use freyja::store::{Options, Store, SyncMode};
use freyja::vfs::{
    Access, Allocation, DirectoryEntry, DirectoryLock, File, LockMode, Mapping, MappingWriter,
    SimulatedDisk, Vfs,
};

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
#[derive(Clone)]
struct GatedDisk {
    disk: SimulatedDisk,
    gate: Arc<Gate>,
}

impl GatedDisk {
    fn new() -> Self {
        Self {
            disk: SimulatedDisk::new(1),
            gate: Arc::default(),
        }
    }

    fn open_store(&self) -> Store {
        let options = Options {
            sync_mode: SyncMode::None,
            segment_size: SEGMENT,
            ..Options::default()
        };
        Store::open_on(Arc::new(self.clone()), Path::new(STORE), &options).unwrap()
    }

    fn gated(&self, path: &Path, file: Box<dyn File>) -> Box<dyn File> {
        Box::new(GatedFile {
            file: Some(file),
            path: path.to_path_buf(),
            gate: self.gate.clone(),
        })
    }
}

struct GatedFile {
    file: Option<Box<dyn File>>,
    path: PathBuf,
    gate: Arc<Gate>,
}

impl GatedFile {
    fn file(&self) -> &dyn File {
        &**self.file.as_ref().unwrap()
    }
}

impl Drop for GatedFile {
    fn drop(&mut self) {
        self.gate.pass(&self.path);
        drop(self.file.take());
    }
}

impl File for GatedFile {
    fn len(&self) -> io::Result<u64> {
        self.file().len()
    }
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file().read_exact_at(buffer, offset)
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file().write_all_at(bytes, offset)
    }
    fn allocate(&self, length: u64) -> io::Result<Allocation> {
        self.file().allocate(length)
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file().set_len(length)
    }
    fn sync(&self) -> io::Result<()> {
        self.file().sync()
    }
    fn map(&self, length: usize) -> io::Result<Arc<Mapping>> {
        self.file().map(length)
    }
    fn map_append(
        &self,
        published: usize,
        capacity: usize,
    ) -> io::Result<(Arc<Mapping>, MappingWriter)> {
        self.file().map_append(published, capacity)
    }
}

impl Vfs for GatedDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        self.disk
            .open(path, access)
            .map(|file| self.gated(path, file))
    }
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.disk
            .create_new(path)
            .map(|file| self.gated(path, file))
    }
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.disk.create_directory(path)
    }
    fn list(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>> {
        self.disk.list(directory)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn hard_link(&self, existing: &Path, name: &Path) -> io::Result<()> {
        self.disk.hard_link(existing, name)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        let stem = path.file_stem().unwrap_or_default().to_owned();
        self.gate.state.lock().unwrap().removed.insert(stem);
        self.disk.remove(path)
    }
    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.disk.sync_directory(directory)
    }
    fn lock(&self, path: &Path, mode: LockMode) -> io::Result<Box<dyn DirectoryLock>> {
        self.disk.lock(path, mode)
    }
    fn wall_clock_ms(&self) -> u64 {
        self.disk.wall_clock_ms()
    }
    fn monotonic(&self) -> Duration {
        self.disk.monotonic()
    }
    fn random(&self) -> io::Result<[u8; 16]> {
        self.disk.random()
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
            let is_there = disk.disk.open(&first, Access::Read).is_ok();
            if store.stats().compactions > 0 && !is_there || begun.elapsed() > NEVER / 2 {
                break;
            }
        }
    });
    store.compact(|_| true).unwrap();
    assert!(
        disk.disk.open(&first, Access::Read).is_err(),
        "it is still there"
    );
    disk.gate.close();
    assert_eq!(pinned.bytes(), &[1; VALUE]);
    disk.gate.in_time("letting go of a pin", || drop(pinned));
    disk.gate.open();
    store.close().unwrap();
}
