//! A copy of the store, consistent as of one sequence number, made while it is read and written.
//!
//! The log makes it simple: the active segment is ended, and all that counts is then in sealed segments, which nothing ever changes.
//! Where the file system allows they are linked and take neither time nor space, else copied.

mod destination;
mod manifest;
mod transfer;

use std::path::Path;
use std::sync::Arc;

use super::Store;
use super::live_segment::LiveSegment;
use crate::error::{Error, Result};
use destination::Destination;
use manifest::{Manifest, Member};
use transfer::Way;

pub use manifest::{UNFINISHED, cut_short};

/// What a finished backup amounts to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backup {
    /// Sequence number of the last record in it: it holds every write up to that one, and none after.
    pub last_sequence: u64,
    /// Number of segments.
    pub segments: u64,
    /// Bytes that it shares with the store, by links that this backup made.
    pub linked_bytes: u64,
    /// Bytes that this backup copied.
    pub copied_bytes: u64,
}

impl Store {
    /// Makes the directory `destination` a copy of the store as it was at one moment during the call, durable when this returns;
    /// reads and writes go on. It is restored by opening it, or a copy of it. To where a backup of this store already is, only
    /// what is new is brought, and what the store no longer has is removed.
    ///
    /// Segments are linked, so that a backup on the same file system costs next to nothing and protects from deletion and
    /// mistakes, but not from a failing disk; to another file system they are copied.
    ///
    /// `progress` is told how many bytes of how many have been brought, and cancels the backup by answering `false`; it must not
    /// use the store's [`Store::close`]. A backup that fails or is cut short leaves the older one as it was, or a
    /// directory that refuses to be opened until a backup to it has been finished.
    ///
    /// Errors: [`ErrorKind::Exists`] if the destination holds anything but a backup of this store;
    /// [`ErrorKind::Busy`] if it is open as a store, or if another backup is writing to it; [`ErrorKind::ReadOnly`];
    /// [`ErrorKind::Failed`]; `ECANCELED` and other errors of the system.
    ///
    /// [`ErrorKind::Exists`]: crate::ErrorKind::Exists
    /// [`ErrorKind::Busy`]: crate::ErrorKind::Busy
    /// [`ErrorKind::ReadOnly`]: crate::ErrorKind::ReadOnly
    /// [`ErrorKind::Failed`]: crate::ErrorKind::Failed
    pub fn backup(
        &self,
        destination: &Path,
        progress: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<Backup> {
        self.shared.check_open()?;
        let log = self.shared.log()?;
        let place = log.place();
        // Refused before the log is disturbed.
        let found = Destination::inspect(&*place.vfs, destination, place.store_id)?;
        let (sequence, segments) = log.seal_everything()?;
        let wanted = Manifest {
            store_id: place.store_id,
            sequence,
            members: segments.iter().map(|live| member(live)).collect(),
        };
        let mut found = found.lock(&wanted)?;
        found.prepare(&wanted)?;
        let lacking = |live: &&Arc<LiveSegment>| !found.has(&member(live));
        let lacking: Vec<_> = segments.iter().filter(lacking).collect();
        let total = lacking.iter().map(|live| member(live).length).sum();
        let mut done = 0;
        let mut advance = |bytes: u64| {
            done += bytes;
            self.shared.check_open()?;
            match progress(done, total) {
                true => Ok(()),
                false => Err(cancelled(destination)),
            }
        };
        advance(0)?;
        let mut backup = Backup {
            last_sequence: sequence,
            segments: segments.len() as u64,
            ..Backup::default()
        };
        for live in lacking {
            let Member { id, length, .. } = member(live);
            let path = found.path_for(id);
            let brought = transfer::bring(&*place.vfs, live, &path, &mut advance);
            let way = brought.inspect_err(|_| found.abandon(id))?;
            found.add(id)?;
            match way {
                Way::Linked => backup.linked_bytes += length,
                Way::Copied => backup.copied_bytes += length,
            }
        }
        found.publish(&wanted)?;
        Ok(backup)
    }
}

fn member(live: &LiveSegment) -> Member {
    Member {
        id: live.segment.id(),
        salt: live.segment.header().salt,
        length: live.segment.readable_end(),
    }
}

fn cancelled(destination: &Path) -> Error {
    let cancelled = std::io::Error::from_raw_os_error(libc::ECANCELED);
    Error::io("back up", destination, &cancelled)
}
