//! Calls of the simulated disk: counted, recorded, made to fail.

use std::io;
use std::path::PathBuf;

/// What a call asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // each is the trait's method of that name
pub enum Operation {
    Open,
    CreateNew,
    CreateDirectory,
    List,
    Rename,
    HardLink,
    Remove,
    SyncDirectory,
    Lock,
    Random,
    Length,
    Read,
    Write,
    Allocate,
    SetLength,
    Sync,
    Map,
    MapAppend,
    /// [`crate::vfs::MappingWriter::write`]. Never fails on a real system; a process can die in the middle.
    MappedWrite,
}

/// One call as it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Number of calls before it.
    pub index: u64,
    /// What was asked for.
    pub operation: Operation,
    /// The file or directory, by the name it was opened under; empty for [`Operation::Random`].
    pub path: PathBuf,
    /// First byte of what was read or written; 0 where that makes no sense.
    pub offset: u64,
    /// Bytes read, written or mapped, or the length asked for; 0 where that makes no sense.
    pub length: u64,
    /// The error it returned.
    pub error: Option<io::ErrorKind>,
}

/// For how long a fault lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// One call.
    Once,
    /// That call and all later ones of the same operation.
    SameOperation,
    /// That call and all later ones.
    Always,
}

/// What a failing call still does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing. Only a failed sync has a consequence: see [`super::SimulatedDisk`].
    Before,
    /// A part of its work, of a size drawn from the disk's seed, where the work has parts: writes, reads,
    /// syncs and allocations. Other calls do nothing.
    Partial,
    /// All of it.
    After,
}

/// What is to become of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    Fail {
        errno: i32,
        effect: Effect,
    },
    /// The workload is over: only what [`Effect`] says happens, and a failed sync has no consequence.
    Stop {
        effect: Effect,
    },
}

struct Fault {
    from: u64,
    operation: Option<Operation>,
    errno: i32,
    repeat: Repeat,
    effect: Effect,
    /// The operation of the first call it hit.
    hit: Option<Operation>,
}

impl Fault {
    fn hits(&mut self, index: u64, operation: Operation) -> bool {
        match (self.hit, self.repeat) {
            (None, _) => {
                let hits =
                    index >= self.from && self.operation.is_none_or(|only| only == operation);
                if hits {
                    self.hit = Some(operation);
                }
                hits
            }
            (Some(_), Repeat::Once) => false,
            (Some(first), Repeat::SameOperation) => first == operation,
            (Some(_), Repeat::Always) => true,
        }
    }
}

/// All faults that were asked for, and the number of calls so far.
#[derive(Default)]
pub(super) struct Faults {
    calls: u64,
    planned: Vec<Fault>,
    stop: Option<(u64, Effect)>,
}

impl Faults {
    pub(super) fn calls(&self) -> u64 {
        self.calls
    }

    /// Plans a failure of the first call from index `from` on that is an `operation`, if one is given.
    pub(super) fn plan(
        &mut self,
        from: u64,
        operation: Option<Operation>,
        errno: i32,
        repeat: Repeat,
        effect: Effect,
    ) {
        self.planned.push(Fault {
            from,
            operation,
            errno,
            repeat,
            effect,
            hit: None,
        });
    }

    pub(super) fn clear(&mut self) {
        self.planned.clear();
    }

    pub(super) fn stop_at(&mut self, index: u64, effect: Effect) {
        self.stop = Some((index, effect));
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.is_some_and(|(index, _)| self.calls > index)
    }

    /// Counts a call and says what becomes of it.
    pub(super) fn judge(&mut self, operation: Operation) -> Verdict {
        let index = self.calls;
        self.calls += 1;
        match self.stop {
            Some((stop, effect)) if index == stop => return Verdict::Stop { effect },
            Some((stop, _)) if index > stop => {
                return Verdict::Stop {
                    effect: Effect::Before,
                };
            }
            _ => {}
        }
        // Every fault sees every call, so that faults that overlap stay independent of each other.
        let mut verdict = Verdict::Pass;
        for fault in &mut self.planned {
            if fault.hits(index, operation) && verdict == Verdict::Pass {
                let (errno, effect) = (fault.errno, fault.effect);
                verdict = Verdict::Fail { errno, effect };
            }
        }
        verdict
    }
}
