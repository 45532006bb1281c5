//! Making durable what an open has adopted of an unsealed segment, after the store is open.
//!
//! Reading needs none of it. Whatever depends on the adopted records being durable, which is every write and every image,
//! finishes it before.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::extent::Extent;
use super::mend;
use crate::error::{Error, ErrorKind, Result};
use crate::log::{OpenedSegment, ReadMode, Segment};
use crate::memory::epoch;
use crate::store::commit_log::is_shortage;
use crate::store::live_segment::{LiveSegment, Sealed};
use crate::store::segment_set::SegmentSet;
use crate::vfs::Vfs;

/// An unsealed segment that counts.
pub struct Adoptee {
    /// For reading by calls, up to where the segment counts.
    pub segment: Arc<Segment>,
    /// How far that is.
    pub extent: Extent,
}

/// The segments that are still to be made durable and sealed, in the order of their ids. All methods may be called from any
/// thread.
pub struct Adoption {
    /// Everything up to this sequence number is durable anyway.
    proven: u64,
    done: AtomicBool,
    state: Mutex<State>,
}

enum State {
    Waiting(Vec<Adoptee>),
    Finished(Result<()>),
}

impl Adoption {
    /// An adoption of `adoptees`, where everything up to the sequence number `proven` is known to have been durable.
    pub fn new(adoptees: Vec<Adoptee>, proven: u64) -> Self {
        Self {
            proven,
            done: AtomicBool::new(adoptees.is_empty()),
            state: Mutex::new(State::Waiting(adoptees)),
        }
    }

    /// Up to which sequence number everything is durable although this is not finished; `None` once it is.
    pub fn proven(&self) -> Option<u64> {
        (!self.done.load(Ordering::Acquire)).then_some(self.proven)
    }

    /// Whether [`Self::finish`] has failed in a way that repeating it does not help.
    pub fn has_failed(&self) -> bool {
        matches!(&*self.state.lock(), State::Finished(Err(_)))
    }

    /// Returns when all is durable and sealed. The first caller does the work, others wait for him. If something has run out,
    /// a full disk say, the next caller goes on; after any other error the same error comes again.
    pub fn finish(
        &self,
        vfs: &dyn Vfs,
        directory: &Path,
        segments: &SegmentSet,
        read_mode: ReadMode,
    ) -> Result<()> {
        if self.done.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut state = self.state.lock();
        let mut sync_failed = false;
        let result = match &mut *state {
            State::Finished(result) => return result.clone(),
            State::Waiting(adoptees) => loop {
                let Some(adoptee) = adoptees.first() else {
                    break Ok(());
                };
                match adopt(
                    vfs,
                    directory,
                    segments,
                    read_mode,
                    adoptee,
                    &mut sync_failed,
                ) {
                    Ok(()) => drop(adoptees.remove(0)),
                    Err(error) if is_shortage(&error) && !sync_failed => return Err(error),
                    Err(error) => break Err(error),
                }
            },
        };
        self.done.store(result.is_ok(), Ordering::Release);
        *state = State::Finished(result.clone());
        result
    }
}

fn adopt(
    vfs: &dyn Vfs,
    directory: &Path,
    segments: &SegmentSet,
    read_mode: ReadMode,
    adoptee: &Adoptee,
    sync_failed: &mut bool,
) -> Result<()> {
    let Adoptee { segment, extent } = adoptee;
    mend::adopt(vfs, directory, segment, extent, sync_failed)?;
    let path = segment.path();
    let opened = match Segment::open(vfs, path, read_mode) {
        // It is durable and sealed, and stays readable as it was opened for recovery.
        Err(error) if is_shortage(&error) => return Ok(()),
        opened => opened?,
    };
    let OpenedSegment::Sealed {
        segment: sealed,
        footer,
        ..
    } = opened
    else {
        return Err(Error::new(
            ErrorKind::Corrupt,
            format!("{}: has changed while it was adopted", path.display()),
        ));
    };
    let Ok(members) = segments.members() else {
        return Ok(());
    };
    let mut same = members
        .iter()
        .filter(|live| live.segment.id() == segment.id());
    if let Some(live) = same.next() {
        let live: LiveSegment = live.replaced_by(
            sealed,
            Sealed {
                records_end: footer.records_end(),
                totals: footer.totals,
            },
        );
        live.usage.set_footer_durable();
        segments.replace(Arc::new(live), &epoch::pin());
    }
    Ok(())
}
