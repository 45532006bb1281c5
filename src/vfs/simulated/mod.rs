//! A deterministic disk in memory for crash tests: it knows which bytes and names are not yet durable and
//! what a crash may do to them.
//!
//! # Model
//! - A file has a page cache, which reads, writes and mappings share, and durable bytes. [`File::sync`] makes
//!   the written bytes and the length durable. Bytes are lost or damaged by sectors of 512, and only those
//!   that were written and not synced: that a write cut short by a power loss leaves other bytes of its
//!   sector alone ("powersafe overwrite") is assumed, as by SQLite.
//! - Creations, links, renames and removals become durable by [`Vfs::sync_directory`] of their directory, and by
//!   nothing else unless [`SimulatedDisk::set_sync_keeps_name`] says so.
//! - A failed sync is never made good: the bytes it should have written count as clean, the disk keeps what it
//!   had, the cache keeps the new bytes, and later syncs succeed without writing those sectors. This is what
//!   Linux does on ext4, XFS and btrfs.
//! - Every call is counted, by trait method and through mappings, and can be recorded or made to fail.
//! - The same calls from one thread give the same disk; everything random is drawn from seeds.
//!
//! Stricter than a real system where that finds defects: a mapped write outside of allocated blocks is an
//! error instead of a dead process, and so is cutting or changing bytes that a living mapping has promised
//! to keep.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Access, Allocation, DirectoryEntry, DirectoryLock, EntryKind, File, LockMode, Vfs};
use contents::Contents;
use file::{SimulatedFile, SimulatedLock};
use random::{Random, mix};
use state::{Clock, Extent, Request, Settings, Shared, State};
use tree::{Directory, Node, Tree};

pub use choices::{Choices, SectorFate, Seeded, Uniform, Unsynced};
pub use faults::{Call, Effect, Operation, Repeat};

mod choices;
mod contents;
mod control;
mod crash;
mod faults;
mod file;
mod random;
mod ranges;
mod state;
mod tree;

/// The unit in which a power loss damages bytes.
const SECTOR: u64 = 512;

/// A disk, a clock and a source of random numbers that are the same in every run. Clones share everything.
///
/// Paths start at the root `/`, with or without saying so; the root exists and is durable, all other
/// directories have to be created. `..` and links are not known. May be used from any thread; calls of
/// several threads are carried out one after the other.
#[derive(Clone)]
pub struct SimulatedDisk {
    shared: Arc<Shared>,
}

/// What happens to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Crash {
    /// All processes die, the system lives on: everything written is there, unsynced as before.
    ProcessKill,
    /// The machine loses its power: every unsynced sector, length and name meets its own fate.
    PowerLoss,
}

impl Vfs for SimulatedDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        let request = Request::new(Operation::Open, path);
        let file = self.shared.perform(request, |state, _| {
            let number = state.tree.resolve(path)?;
            if state.tree.is_directory(number) {
                return Err(not_regular());
            }
            SimulatedFile::new(&self.shared, state, number, path, access)
        })?;
        Ok(Box::new(file))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let request = Request::new(Operation::CreateNew, path);
        let file = self.shared.perform(request, |state, _| {
            let number = state.tree.create(path, empty_file())?;
            SimulatedFile::new(&self.shared, state, number, path, Access::Write)
        })?;
        Ok(Box::new(file))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        let request = Request::new(Operation::CreateDirectory, path);
        self.shared.perform(request, |state, _| {
            let directory = Node::Directory(Directory::default());
            state.tree.create(path, directory)?;
            Ok(())
        })
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>> {
        let request = Request::new(Operation::List, directory);
        self.shared.perform(request, |state, _| {
            let entries = state.tree.directory(directory)?.entries().clone();
            let entry = |(name, number): (&Arc<std::ffi::OsStr>, &u64)| DirectoryEntry {
                name: name.to_os_string(),
                kind: if state.tree.is_directory(*number) {
                    EntryKind::Directory
                } else {
                    EntryKind::File
                },
            };
            Ok(entries.iter().map(entry).collect())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let request = Request::new(Operation::Rename, from);
        self.shared
            .perform(request, |state, _| state.tree.rename(from, to))
    }

    fn hard_link(&self, existing: &Path, name: &Path) -> io::Result<()> {
        let request = Request::new(Operation::HardLink, name);
        self.shared
            .perform(request, |state, _| state.tree.hard_link(existing, name))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let request = Request::new(Operation::Remove, path);
        self.shared
            .perform(request, |state, _| state.tree.remove(path))
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let request = Request::new(Operation::SyncDirectory, directory);
        self.shared.perform(request, |state, extent| {
            let pending = state.tree.directory(directory)?.pending();
            let count = match extent {
                Extent::Part => state.random.below(pending as u64) as usize,
                _ => pending,
            };
            state.tree.directory(directory)?.sync(count);
            state.tree.collect();
            Ok(())
        })
    }

    fn lock(&self, path: &Path, mode: LockMode) -> io::Result<Box<dyn DirectoryLock>> {
        let request = Request::new(Operation::Lock, path);
        let lock = self.shared.perform(request, |state, _| {
            let number = match state.tree.resolve(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    state.tree.create(path, empty_file())?
                }
                other => other?,
            };
            if state.tree.is_directory(number) {
                return Err(not_regular());
            }
            state.hold(number, mode)?;
            Ok(SimulatedLock {
                shared: self.shared.clone(),
                number,
            })
        })?;
        Ok(Box::new(lock))
    }

    fn wall_clock_ms(&self) -> u64 {
        self.shared.look(|state| state.clock.wall_ms)
    }

    fn monotonic(&self) -> Duration {
        self.shared.look(|state| state.clock.monotonic)
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        let request = Request::new(Operation::Random, Path::new(""));
        self.shared.perform(request, |state, _| {
            let mut bytes = [0; 16];
            state.random.fill(&mut bytes);
            Ok(bytes)
        })
    }
}

fn empty_file() -> Node {
    Node::File(tree::File {
        contents: Contents::empty(),
        handles: 0,
    })
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

/// An empty disk.
fn new_state(seed: u64) -> State {
    State {
        tree: Tree::new(),
        settings: Settings {
            allocation: Allocation::Reserved,
            sync_keeps_name: false,
            capacity: None,
        },
        clock: Clock {
            wall_ms: 1_700_000_000_000,
            monotonic: Duration::ZERO,
        },
        random: Random::new(mix(seed)),
        faults: faults::Faults::default(),
        trace: None,
        pictures: None,
        locks: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests;
