//! Damages a small store in every way, opens it, and says whether what it answers is right.
//!
//! What is right: for every key its newest value, or an error that names the file and the place; never other bytes, never an
//! older version, never a crash. What cannot be told apart from the outside is a [`gap::Gap`], each with a reason and a
//! narrow definition; nothing else is forgiven.

pub mod blocks;
pub mod files;
pub mod flips;
pub mod gap;
pub mod golden;
pub mod judgement;
pub mod saving;

use std::path::Path;

use freyja::vfs::SimulatedDisk;
use golden::STORE;

/// A description of what is wrong, or of where.
pub type Told<T> = Result<T, String>;

/// Puts `bytes` in the place of the file `name` on `disk`.
pub fn overwrite(disk: &SimulatedDisk, name: &str, bytes: &[u8]) -> Told<()> {
    let path = Path::new(STORE).join(name);
    disk.overwrite_file(&path, bytes)
        .map_err(|error| format!("{name} cannot be damaged: {error}"))
}

/// Removes the file `name` from `disk`.
pub fn remove(disk: &SimulatedDisk, name: &str) -> Told<()> {
    disk.remove_file(&Path::new(STORE).join(name))
        .map_err(|error| format!("{name} cannot be removed: {error}"))
}
