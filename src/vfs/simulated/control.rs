//! What tests do with a simulated disk beside using it: settings, faults, crashes, damage.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::contents::Contents;
use super::crash;
use super::state::{Shared, State};
use super::tree::{File, Node, Tree};
use super::{
    Call, Choices, Crash, Effect, Operation, Repeat, Seeded, SimulatedDisk, Unsynced, new_state,
};
use crate::vfs::Allocation;

impl SimulatedDisk {
    /// An empty disk of unlimited size that reserves blocks. Its random numbers and the sizes of partial
    /// effects follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self::with(new_state(seed))
    }

    fn with(state: State) -> Self {
        Self {
            shared: Arc::new(Shared::new(state)),
        }
    }

    /// What [`crate::vfs::File::allocate`] answers: `Reserved` at first.
    pub fn set_allocation(&self, allocation: Allocation) {
        self.shared
            .look(|state| state.settings.allocation = allocation);
    }

    /// Whether syncing a file makes its own name durable as well, as ext4, XFS and btrfs do though nothing
    /// promises it; `false` at first.
    pub fn set_sync_keeps_name(&self, keeps: bool) {
        self.shared
            .look(|state| state.settings.sync_keeps_name = keeps);
    }

    /// Limits the bytes that all files together may have allocated; what is beyond fails with `StorageFull`
    /// after the part that fits.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.shared.look(|state| state.settings.capacity = bytes);
    }

    /// Bytes that all files together have allocated.
    pub fn allocated_bytes(&self) -> u64 {
        self.shared.look(|state| state.tree.used())
    }

    /// Sets the wall clock, in milliseconds since 1970; it may go backwards.
    pub fn set_wall_clock_ms(&self, milliseconds: u64) {
        self.shared.look(|state| state.clock.wall_ms = milliseconds);
    }

    /// Moves both clocks forward; nothing else does.
    pub fn advance_clock(&self, time: Duration) {
        self.shared.look(|state| {
            state.clock.monotonic += time;
            state.clock.wall_ms += u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        });
    }

    /// Number of calls so far, and the index of the next one.
    pub fn calls(&self) -> u64 {
        self.shared.look(|state| state.faults.calls())
    }

    /// Records all calls from now on.
    pub fn start_trace(&self) {
        self.shared.look(|state| state.trace = Some(Vec::new()));
    }

    /// The calls recorded since [`Self::start_trace`], or since this was last called.
    pub fn take_trace(&self) -> Vec<Call> {
        self.shared
            .look(|state| state.trace.as_mut().map(std::mem::take))
            .unwrap_or_default()
    }

    /// Makes the call number `index` fail with the system's error number `errno`. `EINTR` is one like any
    /// other here, though a [`crate::vfs::Vfs`] deals with it inside.
    pub fn fail_call(&self, index: u64, errno: i32, repeat: Repeat, effect: Effect) {
        self.shared
            .look(|state| state.faults.plan(index, None, errno, repeat, effect));
    }

    /// Makes the next call that is an `operation` fail, as [`Self::fail_call`] does.
    pub fn fail_next(&self, operation: Operation, errno: i32, repeat: Repeat, effect: Effect) {
        self.shared.look(|state| {
            let next = state.faults.calls();
            state
                .faults
                .plan(next, Some(operation), errno, repeat, effect);
        });
    }

    /// Calls off all failures, those under way too.
    pub fn clear_faults(&self) {
        self.shared.look(|state| state.faults.clear());
    }

    /// The workload ends with the call number `index`: that call has the effect given, all later ones have
    /// none, and all of them fail. A crash picture taken afterwards shows the disk at that call.
    pub fn stop_at(&self, index: u64, effect: Effect) {
        self.shared
            .look(|state| state.faults.stop_at(index, effect));
    }

    /// Whether a call has met the end set by [`Self::stop_at`].
    pub fn is_stopped(&self) -> bool {
        self.shared.look(|state| state.faults.is_stopped())
    }

    /// Keeps, from now on, a picture of the disk before every call, as after [`Crash::ProcessKill`]: one run
    /// of a workload gives the crash points of all its calls.
    pub fn start_pictures(&self) {
        self.shared.look(|state| state.pictures = Some(Vec::new()));
    }

    /// The pictures kept since [`Self::start_pictures`] or since this was last called, each with the index of
    /// the call that had not yet happened.
    pub fn take_pictures(&self) -> Vec<(u64, SimulatedDisk)> {
        let pictures = self
            .shared
            .look(|state| state.pictures.as_mut().map(std::mem::take));
        let pictures = pictures.unwrap_or_default().into_iter();
        pictures
            .map(|(index, state)| (index, Self::with(state)))
            .collect()
    }

    /// The disk after a crash: a copy without open files, locks, faults and trace. The same seed gives the
    /// same copy.
    pub fn crash(&self, crash: Crash, seed: u64) -> SimulatedDisk {
        match crash {
            Crash::ProcessKill => self.copy(seed, crash::after_kill),
            Crash::PowerLoss => self.power_loss(&mut Seeded::new(seed), seed),
        }
    }

    /// The disk after a power loss that does what `choices` say; its random numbers follow from `seed`.
    pub fn power_loss(&self, choices: &mut dyn Choices, seed: u64) -> SimulatedDisk {
        self.copy(seed, |tree| crash::after_power_loss(tree, choices))
    }

    fn copy(&self, seed: u64, crash: impl FnOnce(&Tree) -> io::Result<Tree>) -> Self {
        Self::with(self.shared.look(|state| state.copy(seed, crash)))
    }

    /// How much a power loss could take now.
    pub fn unsynced(&self) -> Unsynced {
        self.shared.look(|state| crash::unsynced(&state.tree))
    }

    /// Lets the system forget cached bytes that it takes for clean, as it may at any time. After a failed sync
    /// that uncovers what the disk really holds. Files with mappings keep their cache.
    pub fn drop_caches(&self) {
        self.shared.look(|state| {
            for file in state.tree.files_mut() {
                file.contents.drop_cache();
            }
        });
    }

    /// All bytes of a file as a process would read them; not a counted call.
    pub fn read_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.shared.look(|state| {
            let number = state.tree.resolve(path)?;
            let contents = &state.tree.file(number)?.contents;
            let length =
                usize::try_from(contents.length()).map_err(|_| io::ErrorKind::FileTooLarge)?;
            let mut bytes = Vec::new();
            bytes.try_reserve_exact(length)?;
            bytes.resize(length, 0);
            contents.read(&mut bytes, 0);
            Ok(bytes)
        })
    }

    /// Replaces all bytes of a file, or creates it, durably, as if it had always been so; not a counted call.
    /// `ResourceBusy` if the file is mapped, since mapped bytes cannot change under a Rust slice: damage under
    /// a mapping needs a real file.
    pub fn overwrite_file(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.shared.look(|state| {
            let length = bytes.len() as u64;
            let contents = Contents::at_rest(Arc::new(bytes.to_vec()), length);
            match state.tree.resolve(path) {
                Ok(number) => {
                    let file = state.tree.file(number)?;
                    if file.contents.is_mapped() {
                        return Err(io::ErrorKind::ResourceBusy.into());
                    }
                    file.contents = contents;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let handles = 0;
                    let file = Node::File(File { contents, handles });
                    let number = state.tree.create(path, file)?;
                    state.tree.sync_names_of(number);
                }
                Err(error) => return Err(error),
            }
            Ok(())
        })
    }

    /// Removes a file durably; not a counted call.
    pub fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.shared.look(|state| {
            let number = state.tree.resolve(path)?;
            state.tree.remove(path)?;
            state.tree.sync_names_of(number);
            state.tree.collect();
            Ok(())
        })
    }
}
