//! A disk in memory in the place of files for stores that C functions open. Only builds for fuzzing, which pass
//! `--cfg fuzzing`, have it: most of the time of a short life of a store on real files is the system's.

use std::cell::RefCell;

use crate::vfs::SimulatedDisk;

thread_local! {
    static DISK: RefCell<Option<SimulatedDisk>> = const { RefCell::new(None) };
}

/// Stores that this thread opens from now on are on `disk`, on real files again with `None`.
pub fn set_disk(disk: Option<SimulatedDisk>) {
    DISK.with(|it| *it.borrow_mut() = disk);
}

/// Where stores that this thread opens are.
pub(super) fn disk() -> Option<SimulatedDisk> {
    DISK.with(|it| it.borrow().clone())
}
