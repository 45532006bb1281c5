//! Pages of the active segment, made ready before puts come to them.
//!
//! The first write to a page of a mapping waits for the system, some microseconds in which it looks for memory, fills the page from
//! the disk or with zeros, and takes note that it will differ from the file. Where puts follow each other quickly, a thread does that
//! for the next pages, and reserves the space for those behind them. Where they do not, nothing is gained, and a sync would write pages that have nothing in them yet.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::{CommitLog, Tail};
use crate::log::writer::Growth;
use crate::log::{Segment, SegmentWriter};
use crate::vfs::{LARGE_PAGE, Mapping};

/// So many bytes behind the last record are ready at least.
const AHEAD: u64 = 1 << 20;

/// Large pages are worth while if so many bytes at least are written from one sync to the next, since each sync writes all of the last
/// one, and gets that come to it wait afterwards.
const LARGE_PAGE_BETWEEN_SYNCS: u64 = 16 << 20;

/// The same where puts come as fast as they can, which is what they help most.
const LARGE_PAGE_AT_FULL_SPEED: u64 = 4 << 20;

/// They are made ready in pieces of this length, so that nobody who maps or unmaps memory waits for long.
const PIECE: usize = 64 << 10;

/// Puts follow each other quickly if they take less time for a MiB: far less than the time between two syncs.
const QUICK: Duration = Duration::from_millis(100);

/// They come as fast as they can if they take less than this.
const FULL_SPEED: Duration = Duration::from_millis(20);

/// How quickly puts follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Speed {
    #[default]
    Slow,
    Quick,
    Full,
}

impl Speed {
    /// Of `bytes` that took `time`.
    fn of(bytes: u64, time: Duration) -> Self {
        let takes_less = |a_mebibyte: Duration| {
            time.as_nanos() << 20 <= a_mebibyte.as_nanos() * u128::from(bytes)
        };
        match (takes_less(FULL_SPEED), takes_less(QUICK)) {
            (true, _) => Self::Full,
            (false, true) => Self::Quick,
            (false, false) => Self::Slow,
        }
    }
}

/// How far pages of the active segment are ready.
#[derive(Default)]
pub struct PagesAhead {
    /// When the active segment's records end here, it is time to look again how quickly they come.
    next_look: u64,
    /// When that was last, and how many bytes had been written then.
    last_look: Option<(Duration, u64)>,
    /// What was found then.
    speed: Speed,
    /// Up to here they are ready, or asked for.
    ready: u64,
    /// How many bytes had been written at the last sync of everything, if there was one, and how many since the one before.
    last_sync: Option<(u64, u64)>,
}

/// What is to be made ready of a segment.
pub struct Wanted {
    segment: Arc<Segment>,
    mapping: Arc<Mapping>,
    /// Up to here, if it is not yet, space is to be reserved.
    space: Option<u64>,
    pages: Range<u64>,
    /// Whether its pages are to be large ones.
    large: bool,
}

impl PagesAhead {
    /// Takes note of a new active segment, of which the first `space` bytes have space.
    pub fn begin_segment(&mut self, space: u64) {
        (self.next_look, self.ready) = (0, space.min(LARGE_PAGE));
    }

    /// Takes note of a sync of everything, before which `written` bytes had been written.
    pub fn note_sync(&mut self, written: u64) {
        let before = self.last_sync.map_or(0, |(at, _)| at);
        self.last_sync = Some((written, written - before));
    }

    /// How fast the next segments will probably grow, when `written` bytes have been written.
    pub fn growth(&self, written: u64) -> Growth {
        match self.puts_are_quick() && self.syncs_are_rare(written) {
            true => Growth::Quick,
            false => Growth::Unknown,
        }
    }

    /// Whether so much is written between two syncs that large pages are worth while, when `written` bytes have been.
    fn syncs_are_rare(&self, written: u64) -> bool {
        let enough = match self.speed {
            Speed::Slow | Speed::Quick => LARGE_PAGE_BETWEEN_SYNCS,
            Speed::Full => LARGE_PAGE_AT_FULL_SPEED,
        };
        self.last_sync
            .is_none_or(|(at, between)| between.max(written - at) >= enough)
    }

    /// Whether puts follow each other quickly, as far as that is known.
    pub fn puts_are_quick(&self) -> bool {
        self.speed >= Speed::Quick
    }
}

impl Tail {
    /// What writes the segment `id`, if that is the active one or one of its successors.
    fn writer_of(&mut self, id: u64) -> Option<&mut SegmentWriter> {
        let active = self.active.as_mut().map(|active| &mut active.writer);
        let mut all = active.into_iter().chain(self.successors.writers());
        all.find(|writer| writer.segment().id() == id)
    }

    /// Whether it is time to look how quickly puts follow each other.
    #[inline]
    pub fn wants_pages(&self) -> bool {
        let active = self.active.as_ref();
        active.is_some_and(|active| active.writer.end() >= self.pages.next_look)
    }
}

impl CommitLog {
    /// Has `ask` called, which should be quick, when it is time to call [`Self::prepare_pages`].
    pub fn ask_for_pages(&self, ask: impl Fn() + Send + Sync + 'static) {
        let _ = self.ask_for_pages.set(Box::new(ask));
    }

    /// Wants pages if puts follow each other quickly; answers whether they are to be asked for.
    #[cold]
    pub(super) fn want_pages(&self, tail: &mut Tail) -> bool {
        let Tail {
            active: Some(active),
            pages,
            written_bytes,
            ..
        } = tail
        else {
            return false;
        };
        let end = active.writer.end();
        let Some(space) = active.writer.mapped_space() else {
            (pages.next_look, pages.speed) = (u64::MAX, Speed::Slow);
            return false;
        };
        let now = self.place.vfs.monotonic();
        let last = pages.last_look.replace((now, *written_bytes));
        pages.speed = last.map_or(Speed::Slow, |(time, bytes)| {
            Speed::of(*written_bytes - bytes, now.saturating_sub(time))
        });
        // Where more space has been reserved, more can be made ready.
        pages.next_look = space.min(end + AHEAD / 2);
        if !pages.puts_are_quick() {
            return false;
        }
        let size = active.writer.size();
        let large = pages.syncs_are_rare(*written_bytes);
        let ahead = end + AHEAD;
        let goal = match large {
            true => ahead.next_multiple_of(LARGE_PAGE),
            // No more than that: each sync would write what has nothing in it yet.
            false => ahead,
        };
        let goal = goal.min(size);
        // Of a large page none is made ready before there is space for all.
        let possible = match large && space < goal {
            true => space - space % LARGE_PAGE,
            false => space.min(goal),
        };
        let range = end.max(pages.ready)..possible.max(end);
        pages.ready = pages.ready.max(range.end);
        let more_space = ahead.next_multiple_of(LARGE_PAGE) + LARGE_PAGE;
        let more_space = more_space.min(size);
        let space = (space < more_space).then_some(more_space);
        let of_active = Wanted::new(&active.writer, space, range, large);
        let of_successor = tail.successors.wanted(large);
        let wanted = of_active.into_iter().chain(of_successor);
        let mut all = self.wanted_pages.lock();
        all.clear();
        all.extend(wanted);
        !all.is_empty()
    }

    /// Makes ready what pages are wanted, and reserves space, which may take a while when the disk is at work.
    pub fn prepare_pages(&self) {
        let wanted = std::mem::take(&mut *self.wanted_pages.lock());
        for Wanted {
            segment,
            mapping,
            space,
            pages,
            large,
        } in wanted
        {
            if large {
                mapping.prefer_large_pages();
            }
            if let Some(len) = space {
                self.reserve_space(&segment, len);
            }
            for begin in pages.clone().step_by(PIECE) {
                let length = (pages.end - begin).min(PIECE as u64);
                mapping.make_ready(begin as usize, length as usize);
            }
        }
    }

    fn reserve_space(&self, segment: &Segment, len: u64) {
        // Sealing cuts the file, and nothing may make it longer then.
        let _reserving = self.reserving.lock();
        if self.tail.lock().writer_of(segment.id()).is_none() || !segment.reserve_space(len) {
            return;
        }
        if let Some(writer) = self.tail.lock().writer_of(segment.id()) {
            writer.note_space(len);
        }
    }
}

impl Wanted {
    /// `None` if there is nothing to do, or the segment is not written through a mapping.
    fn new(
        writer: &SegmentWriter,
        space: Option<u64>,
        pages: Range<u64>,
        large: bool,
    ) -> Option<Self> {
        let segment = writer.segment().clone();
        let mapping = segment
            .mapping()
            .filter(|_| space.is_some() || !pages.is_empty())?;
        Some(Self {
            segment,
            mapping,
            space,
            pages,
            large,
        })
    }

    /// The beginning of a segment to which puts have not come, unless that has been asked for.
    pub fn beginning(writer: &SegmentWriter, large: bool) -> Option<Self> {
        let (space, size) = (writer.mapped_space()?, writer.size());
        let wanted = size.min(2 * LARGE_PAGE);
        match space < wanted {
            true => Self::new(writer, Some(wanted), 0..size.min(LARGE_PAGE), large),
            false => None,
        }
    }
}

#[cfg(test)]
mod tests;
