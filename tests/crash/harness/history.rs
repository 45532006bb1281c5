//! What happened to a disk, call by call, and what may therefore be found after a crash.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use freyja::vfs::SimulatedDisk;
use freyja::vfs::simulated::{Call, Crash, Operation as DiskOperation};

/// Keys and values.
pub type Map = BTreeMap<Vec<u8>, Vec<u8>>;

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
    pub states: Vec<Map>,
    pub pictures: Vec<Picture>,
}

impl History {
    /// A history that begins with `state`.
    pub fn new(state: Map) -> Self {
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
