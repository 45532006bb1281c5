//! Everything a simulated disk knows, and the one way in which calls reach it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::io::Errno;

use super::crash;
use super::faults::{Call, Effect, Faults, Operation, Verdict};
use super::random::{Random, mix};
use super::tree::{Number, Tree};
use crate::vfs::{Allocation, LockMode};

/// What the simulated file system is like.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) allocation: Allocation,
    pub(super) sync_keeps_name: bool,
    pub(super) capacity: Option<u64>,
}

/// Time as the disk's user sees it.
#[derive(Clone)]
pub(super) struct Clock {
    pub(super) wall_ms: u64,
    pub(super) monotonic: Duration,
}

/// A disk shared by its handles.
pub(super) struct Shared(Mutex<State>);

/// A disk.
pub(super) struct State {
    pub(super) tree: Tree,
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) random: Random,
    pub(super) faults: Faults,
    pub(super) trace: Option<Vec<Call>>,
    pub(super) pictures: Option<Vec<(u64, State)>>,
    pub(super) locks: BTreeMap<Number, Holders>,
}

/// Who holds a lock.
pub(super) enum Holders {
    Exclusive,
    Shared(usize),
}

/// A call before it is carried out.
pub(super) struct Request<'a> {
    pub(super) operation: Operation,
    pub(super) path: &'a Path,
    pub(super) offset: u64,
    pub(super) length: u64,
}

impl<'a> Request<'a> {
    /// A call that concerns no bytes.
    pub(super) fn new(operation: Operation, path: &'a Path) -> Self {
        Self {
            operation,
            path,
            offset: 0,
            length: 0,
        }
    }
}

/// How much of a call is to be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    Whole,
    /// A part whose size is drawn at random.
    Part,
    /// The call fails before it does anything; only a sync notices.
    Nothing,
}

impl State {
    /// The disk as a process finds it after all others are gone: no faults, no trace, calls from 0 on.
    fn reopened(&self, tree: Tree, seed: u64) -> Self {
        Self {
            tree,
            settings: self.settings.clone(),
            clock: self.clock.clone(),
            random: Random::new(seed),
            faults: Faults::default(),
            trace: None,
            pictures: None,
            locks: BTreeMap::new(),
        }
    }

    /// How many of `length` bytes at `offset` fit, in a file whose blocks end at `allocated`.
    pub(super) fn fitting(&self, allocated: u64, offset: u64, length: u64) -> u64 {
        let Some(capacity) = self.settings.capacity else {
            return length;
        };
        let free = capacity.saturating_sub(self.tree.used());
        let end = allocated.saturating_add(free);
        end.saturating_sub(offset).min(length)
    }

    pub(super) fn hold(&mut self, number: Number, mode: LockMode) -> io::Result<()> {
        match (self.locks.get_mut(&number), mode) {
            (None, LockMode::Exclusive) => {
                self.locks.insert(number, Holders::Exclusive);
            }
            (None, LockMode::Shared) => {
                self.locks.insert(number, Holders::Shared(1));
            }
            (Some(Holders::Shared(count)), LockMode::Shared) => *count += 1,
            (Some(_), _) => return Err(Errno::WOULDBLOCK.into()),
        }
        Ok(())
    }

    pub(super) fn release(&mut self, number: Number) {
        if let Some(Holders::Shared(count)) = self.locks.get_mut(&number)
            && *count > 1
        {
            *count -= 1;
            return;
        }
        self.locks.remove(&number);
    }

    /// A copy with the tree that `crash` leaves.
    pub(super) fn copy(&self, seed: u64, crash: impl FnOnce(&Tree) -> io::Result<Tree>) -> Self {
        let tree = crash(&self.tree)
            .expect("copying fails only when memory does, which ends the process elsewhere too");
        self.reopened(tree, mix(seed))
    }

    fn take_picture(&mut self) {
        if self.pictures.is_some() {
            let index = self.faults.calls();
            let picture = self.copy(index, crash::after_kill);
            self.pictures.get_or_insert_default().push((index, picture));
        }
    }
}

impl Shared {
    pub(super) fn new(state: State) -> Self {
        Self(Mutex::new(state))
    }

    /// Access that is no call: by tests, and by handles that are dropped.
    pub(super) fn look<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock())
    }

    /// Carries out a call: counts and records it, and lets it fail if a fault says so. `run` is given less
    /// than the whole work only if it is a call that can do a part, or a sync.
    pub(super) fn perform<T>(
        &self,
        request: Request<'_>,
        run: impl FnOnce(&mut State, Extent) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.0.lock();
        state.take_picture();
        let index = state.faults.calls();
        let (effect, failure) = match state.faults.judge(request.operation) {
            Verdict::Pass => (Effect::After, None),
            Verdict::Fail { errno, effect } => (effect, Some(io::Error::from_raw_os_error(errno))),
            Verdict::Stop { effect } => (effect, Some(stopped())),
        };
        let result = match effect {
            Effect::After => Some(run(&mut state, Extent::Whole)),
            Effect::Partial if has_parts(request.operation) => Some(run(&mut state, Extent::Part)),
            _ if request.operation == Operation::Sync => Some(run(&mut state, Extent::Nothing)),
            _ => None,
        };
        let error = match (&failure, &result) {
            (Some(error), _) | (None, Some(Err(error))) => Some(error.kind()),
            _ => None,
        };
        if let Some(trace) = &mut state.trace {
            trace.push(Call {
                index,
                operation: request.operation,
                path: request.path.to_path_buf(),
                offset: request.offset,
                length: request.length,
                error,
            });
        }
        // A handle that the caller does not get is dropped now, which needs the state.
        drop(state);
        match (failure, result) {
            (None, Some(result)) => result,
            (Some(error), _) => Err(error),
            (None, None) => Err(stopped()),
        }
    }
}

fn has_parts(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::Read
            | Operation::Write
            | Operation::MappedWrite
            | Operation::Sync
            | Operation::SyncDirectory
            | Operation::Allocate
    )
}

fn stopped() -> io::Error {
    io::Error::other("simulated disk: stopped for a crash")
}
