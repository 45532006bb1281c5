//! Compaction: what is left of segments that hold much garbage is merged into a new segment, which takes their place.
//!
//! A merge goes through these steps; a crash between any two of them changes nothing that anybody could see:
//!
//! 1. [`choice`] picks segments, and says which tombstones may go. Segments of which nothing is needed go whole; of these only heads of records are read.
//! 2. [`output`] copies what the index refers to, in the order of the sequence numbers, which it keeps, into a file without a
//!    name that counts. Damage to a segment ends the merge: it is never copied, and the segment stays.
//! 3. [`takeover`] makes the file durable and gives it its name. It begins with a manifest, which says that the merged
//!    segments are gone: from here on recovery takes them for gone, all of them or none.
//! 4. The index is moved, entry by entry, where it still refers to what was copied. Then the merged segments leave the set of
//!    segments, and their files are removed. Who reads them meanwhile goes on doing so.

mod choice;
mod expiry;
mod merge;
mod moves;
mod output;
mod pace;
mod takeover;
#[cfg(test)]
mod tests;
mod worker;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::commit_log::{CommitLog, Scope, is_shortage};
use super::contents::Contents;
use super::image;
use super::live_segment::LiveSegment;
use super::options::Compaction;
use super::{Shared, Store};
use crate::error::{Error, ErrorKind, Result};
use crate::log::writer;
use crate::memory::epoch;
use choice::{Aim, Plan};
use output::Output;

pub(in crate::store) use worker::start_worker;

/// How many epochs a removed segment waits: for who may still look its locations up, and then for who may be reading it.
const EPOCHS: usize = 8;

/// A second look frees the tombstones that the first pass still needed.
const PASSES: usize = 2;

/// How a call of [`Store::compact`] gets on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactionProgress {
    /// Bytes of segments that were worth replacing in the beginning.
    pub bytes_wanted: u64,
    /// Segments that were replaced.
    pub segments_replaced: u64,
    /// Bytes of these.
    pub bytes_replaced: u64,
    /// Bytes of the segments that took their place.
    pub bytes_written: u64,
}

/// What compaction has come to since the store was opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct CompactionCounts {
    /// Merges.
    pub merges: u64,
    /// Bytes of records that they read.
    pub bytes_read: u64,
    /// Bytes that they wrote.
    pub bytes_written: u64,
}

/// Sees to it that one merge runs at a time.
#[derive(Default)]
pub struct Compactor {
    running: Mutex<()>,
    /// Why there are no more merges.
    given_up: OnceLock<Error>,
    merges: AtomicU64,
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
    wish: worker::Wish,
}

impl Compactor {
    /// What compaction has come to.
    pub fn counts(&self) -> CompactionCounts {
        CompactionCounts {
            merges: self.merges.load(Ordering::Relaxed),
            bytes_read: self.bytes_read.load(Ordering::Relaxed),
            bytes_written: self.bytes_written.load(Ordering::Relaxed),
        }
    }

    /// Returns when no merge is under way.
    pub fn wait_until_idle(&self) {
        drop(self.running.lock());
    }

    /// `start` starts the worker, and is called when the first pair that expires is written: until then nothing is worth compacting
    /// in a store whose first segment is not full. Only the first call counts.
    pub fn start_with(&self, start: impl Fn() + Send + Sync + 'static) {
        self.wish.start_with(start);
    }

    /// Lets the worker, if there is one, look whether there is something to do.
    pub fn wake(&self) {
        self.wish.wake();
    }

    /// Lets the worker, if there is one, know that a pair that expires has been written.
    pub fn note_expiring(&self) {
        self.wish.note_expiring();
    }

    /// Ends compaction until the store is opened again.
    fn give_up(&self, error: &Error) {
        let _ = self.given_up.set(error.clone());
    }
}

/// Why a merge was not completed.
enum Stop {
    /// The segment is damaged.
    Damaged(Arc<LiveSegment>, Error),
    /// Something else failed, or the merge was no longer wanted.
    Failed(Error),
}

type Step<T> = std::result::Result<T, Stop>;

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What a merge works on, and whether it is still wanted.
struct Work<'w> {
    shared: &'w Shared,
    contents: Contents,
    log: &'w CommitLog,
    is_cancelled: &'w (dyn Fn() -> bool + 'w),
}

impl Work<'_> {
    fn check_open(&self) -> Result<()> {
        self.shared.check_open()
    }

    fn check(&self) -> Result<()> {
        self.check_open()?;
        match (self.is_cancelled)() {
            true => Err(Error::new(
                ErrorKind::Closed,
                "the compaction was stopped before it was done",
            )),
            false => Ok(()),
        }
    }

    /// Merges once, if anything is to be merged for `aim`; answers what that came to. Damaged segments are passed over, and
    /// told to the store as a failure.
    fn merge(&self, aim: Aim) -> Result<Option<CompactionProgress>> {
        let compactor = &self.shared.compactor;
        let _running = compactor.running.lock();
        if let Some(error) = compactor.given_up.get() {
            return Err(error.clone());
        }
        self.check()?;
        if aim == Aim::Bound && self.choose(aim)?.is_none() {
            // Before anything is loaded that nobody has asked for yet.
            return Ok(None);
        }
        self.shared.failure.check_writable()?;
        self.log.finish_adoption()?;
        self.contents
            .index
            .make_all_present(|| self.check().is_ok())?;
        // Stopped while shards were loaded, others are still absent, which what follows must not touch.
        self.check()?;
        while let Some(plan) = self.plan(aim)? {
            match self.carry_out(&plan) {
                Ok(progress) => return Ok(Some(progress)),
                Err(Stop::Failed(error)) => return Err(error),
                Err(Stop::Damaged(live, error)) => {
                    live.usage.set_damaged();
                    self.shared.failure.record(&error);
                }
            }
        }
        Ok(None)
    }

    /// What is to be merged as far as is known.
    fn choose(&self, aim: Aim) -> Result<Option<Plan>> {
        let members = self.contents.segments.members()?;
        expiry::look(self, members.iter().map(|live| &**live))?;
        let newest = self.log.last_sequence();
        let options = &self.shared.options;
        Ok(choice::choose(&members, aim, options, newest, true))
    }

    fn plan(&self, aim: Aim) -> Result<Option<Plan>> {
        let members = self.contents.segments.members()?;
        expiry::look(self, members.iter().map(|live| &**live))?;
        let newest = self.log.last_sequence();
        let options = &self.shared.options;
        let choose = |counted| choice::choose(&members, aim, options, newest, counted);
        let mut plan = choose(true);
        if plan.as_ref().is_some_and(Plan::has_tombstones) {
            // Whoever wrote a record of a sealed segment held a guard until he had counted what died of it.
            let kills_are_counted = epoch::outlast();
            plan = choose(kills_are_counted);
        }
        if plan.is_some() {
            // How far a segment counts whose footer is torn is told by the one behind it, which may be gone soon.
            let vfs = &*self.log.place().vfs;
            for live in members.iter().filter(|live| live.sealed().is_some()) {
                let durable = live.make_footer_durable(vfs, live.segment.path());
                durable.inspect_err(|error| {
                    if !is_shortage(error) {
                        self.shared.compactor.give_up(error);
                    }
                })?;
            }
        }
        Ok(plan)
    }

    fn carry_out(&self, plan: &Plan) -> Step<CompactionProgress> {
        // An image that shows the index as it is while records are copied could not be followed by the list of moves.
        let mut images = self.shared.images.pause();
        let has_image = self.shared.options.image_segments > 0 && images.has_image();
        let (id, successors) = self.log.next_segment_id();
        let place = self.log.place();
        let outcome = Output::begin(self, plan, (id, successors), has_image)
            .map_err(Stop::from)
            .and_then(|mut output| {
                match plan.drops {
                    true => output.leave_all_behind(self, plan)?,
                    false => output.fill(self, plan)?,
                }
                let read = output.bytes_read;
                let written = takeover::take_over(self, plan, output, &mut images)?;
                Ok((read, written))
            });
        let (bytes_read, bytes_written) = outcome.inspect_err(|_| {
            writer::remove_unnamed(&*place.vfs, &place.directory, id);
            if has_image {
                image::remove_move_list(&*place.vfs, &place.directory, id);
            }
        })?;
        let compactor = &self.shared.compactor;
        compactor.merges.fetch_add(1, Ordering::Relaxed);
        compactor
            .bytes_read
            .fetch_add(bytes_read, Ordering::Relaxed);
        compactor
            .bytes_written
            .fetch_add(bytes_written, Ordering::Relaxed);
        Ok(CompactionProgress {
            bytes_wanted: plan.wanted_bytes,
            segments_replaced: plan.victims.len() as u64,
            bytes_replaced: plan.victims.iter().map(|live| live.content_end()).sum(),
            bytes_written,
        })
    }
}

/// Helps the epoch on, so that the disk gets back at once what no reader holds any more.
fn let_go() {
    for _ in 0..EPOCHS {
        epoch::pin().flush();
    }
}

impl Store {
    /// Merges all segments for which that pays, beside reads and writes; `progress` hears how far it has come after every
    /// merge and ends it by answering `false`. Deleted and superseded records vanish from the disk, and what is left keeps its
    /// order and its durability. Damaged segments are left as they are.
    ///
    /// Fails with [`ErrorKind::Closed`] if the store is closed, with `ECANCELED` if `progress` ended it, and with the first damage
    /// met, after all the rest was done. What was merged stays merged. A full disk is an error that changes nothing.
    pub fn compact(&self, mut progress: impl FnMut(CompactionProgress) -> bool) -> Result<()> {
        let shared = &*self.shared;
        shared.check_open()?;
        let log = shared.log()?;
        let work = Work {
            shared,
            contents: shared.share_contents(),
            log,
            is_cancelled: &|| false,
        };
        log.finish_adoption()?;
        work.contents.index.make_all_present(|| true)?;
        log.retire_active_with_garbage()?;
        log.sync(Scope::FullSegments)?;
        let mut done = CompactionProgress::default();
        for _ in 0..PASSES {
            let before = done.segments_replaced;
            let (below, _) = log.next_segment_id();
            while let Some(step) = work.merge(Aim::All(below))? {
                if done.segments_replaced == 0 {
                    done.bytes_wanted = step.bytes_wanted;
                }
                done.segments_replaced += step.segments_replaced;
                done.bytes_replaced += step.bytes_replaced;
                done.bytes_written += step.bytes_written;
                if !progress(done) {
                    let cancelled = std::io::Error::from_raw_os_error(libc::ECANCELED);
                    return Err(Error::io("compact", &log.place().directory, &cancelled));
                }
            }
            if done.segments_replaced == before {
                break;
            }
        }
        if done.segments_replaced > 0 {
            image::write_now(shared);
            let_go();
            work.contents.segments.disposal().wait_until_empty();
        }
        match work
            .contents
            .segments
            .members()?
            .iter()
            .find(|it| it.usage.is_damaged())
        {
            Some(live) => Err(shared.failure.first().unwrap_or_else(|| {
                Error::corrupt(live.segment.path(), 0, "damaged, and so not compacted")
            })),
            None => Ok(()),
        }
    }

    /// Does a bounded part of what the background threads would do, for hosts that let the store have none: seals full
    /// segments, syncs when the interval has passed, makes the next segment when enough of one is used, merges once, writes an
    /// image if one is due. Answers whether more is to be done at once. It merges no more than makes one segment of the usual
    /// size.
    ///
    /// Fails as [`Store::put`] and [`Store::compact`] do.
    pub fn maintain(&self) -> Result<bool> {
        let shared = &*self.shared;
        shared.check_open()?;
        let log = shared.log()?;
        shared.watch_memory();
        log.finish_adoption()?;
        match log.interval_has_passed() && shared.options.sync_mode == super::SyncMode::Interval {
            true => log.sync(Scope::Everything)?,
            false => log.sync(Scope::FullSegments)?,
        }
        self.prepare_segment();
        let merged = match shared.options.compaction {
            Compaction::Automatic => {
                let work = Work {
                    shared,
                    contents: shared.share_contents(),
                    log,
                    is_cancelled: &|| false,
                };
                expiry::end_active(&work)?;
                work.merge(Aim::Bound)?.is_some()
            }
            Compaction::Manual => false,
        };
        match merged {
            true => {
                let_go();
                shared
                    .share_contents()
                    .segments
                    .disposal()
                    .wait_until_empty();
            }
            false => image::write_if_due(shared),
        }
        Ok(merged)
    }
}
