//! What happened to a disk, call by call, and what may therefore be found after a crash.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use freyja::vfs::SimulatedDisk;
use freyja::vfs::simulated::{Call, Crash, Operation as DiskOperation};

/// Keys and values that can be read.
pub type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// Keys with what is stored under them.
pub type State = BTreeMap<Vec<u8>, Stored>;

/// A value, and when it expires by the disk's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub value: Vec<u8>,
    pub expires_at_ms: Option<u64>,
}

/// What can be read of `state` when it is `now`.
pub fn readable(state: &State, now: u64) -> Map {
    let pairs = state.iter();
    pairs
        .filter(|(_, stored)| stored.expires_at_ms.is_none_or(|moment| moment > now))
        .map(|(key, stored)| (key.clone(), stored.value.clone()))
        .collect()
}

/// The disk before one of the calls that an operation made.
pub struct Picture {
    pub disk: SimulatedDisk,
    /// Which operation was under way.
    pub step: usize,
    /// Index of the call that had not yet happened.
    pub call: u64,
    /// What the operations before have promised, and what the one under way may have done.
    pub promises: Promises,
}

/// Numbers of states: 0 is the one before the first operation.
#[derive(Clone, Copy, Debug)]
pub struct Promises {
    /// The oldest state that may be found after a power loss.
    pub durable: usize,
    /// The oldest state that may be found after the process was killed.
    pub acknowledged: usize,
    /// The newest state that may be found.
    pub newest: usize,
}

impl Promises {
    /// The states that may be found after `crash`.
    pub fn allowed(&self, crash: Crash) -> RangeInclusive<usize> {
        match crash {
            Crash::PowerLoss => self.durable..=self.newest,
            Crash::ProcessKill => self.acknowledged..=self.newest,
        }
    }
}

/// The states that a workload went through, and pictures of the disk on its way.
pub struct History {
    pub states: Vec<State>,
    pub pictures: Vec<Picture>,
}

impl History {
    /// A history that begins with `state`.
    pub fn new(state: State) -> Self {
        Self {
            states: vec![state],
            pictures: Vec::new(),
        }
    }

    /// Adds the pictures that `disk` took while operation `step` was under way. Of pictures that show the same only the
    /// first is kept: of all calls it has the narrowest promises.
    pub fn add_pictures(&mut self, disk: &SimulatedDisk, step: usize, promises: Promises) {
        let trace = disk.take_trace();
        for (call, picture) in disk.take_pictures() {
            let before = call.checked_sub(1).and_then(|before| {
                let first = trace.first()?.index;
                trace.get(before.checked_sub(first)? as usize)
            });
            if before.is_none_or(changes_the_disk) {
                self.pictures.push(Picture {
                    disk: picture,
                    step,
                    call,
                    promises,
                });
            }
        }
    }
}

fn changes_the_disk(call: &Call) -> bool {
    !matches!(
        call.operation,
        DiskOperation::Open
            | DiskOperation::List
            | DiskOperation::Random
            | DiskOperation::Length
            | DiskOperation::Read
            | DiskOperation::Map
            | DiskOperation::MapAppend
    )
}
