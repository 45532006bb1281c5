//! Pages of the active segment, made ready before puts come to them.
//!
//! The first write to a page of a mapping waits for the system, some microseconds in which it looks for memory, fills the page from
//! the disk or with zeros, and takes note that it will differ from the file. Where puts follow each other quickly, a thread does that
//! for the next pages. Where they do not, nothing is gained, and a sync would write pages that have nothing in them yet.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::{CommitLog, Tail};
use crate::vfs::Mapping;

/// So many bytes behind the last record are made ready at once, when half of those before are used.
const AHEAD: u64 = 1 << 20;

/// In one piece of this length, so that nobody who maps or unmaps memory waits for long.
const PIECE: usize = 64 << 10;

/// Puts follow each other quickly if they take less time for a MiB: far less than the time between two syncs.
const QUICK: Duration = Duration::from_millis(100);

/// How far pages of the active segment are ready.
#[derive(Default)]
pub struct PagesAhead {
    /// When the active segment's records end here, it is time to look again how quickly they come.
    next_look: u64,
    /// When that was last, and how many bytes had been written then.
    last_look: Option<(Duration, u64)>,
    /// Up to here they are ready, or asked for.
    ready: u64,
    /// Not the segment: whoever is the last to hold that closes its file.
    wanted: Option<(Arc<Mapping>, Range<u64>)>,
}

impl PagesAhead {
    /// Takes note of a new active segment.
    pub fn begin_segment(&mut self) {
        (self.next_look, self.ready) = (0, 0);
    }
}

impl Tail {
    /// Whether it is time to look how quickly puts follow each other.
    #[inline]
    pub fn wants_pages(&self) -> bool {
        let active = self.active.as_ref();
        active.is_some_and(|active| active.writer.end() >= self.pages.next_look)
    }
}

impl CommitLog {
    /// Asks for pages if puts follow each other quickly.
    #[cold]
    pub(super) fn want_pages(&self, tail: &mut Tail) {
        let Tail {
            active,
            pages,
            written_bytes,
            ..
        } = tail;
        let Some(active) = active else {
            return;
        };
        let end = active.writer.end();
        let Some(space) = active.writer.mapped_space() else {
            pages.next_look = u64::MAX;
            return;
        };
        let now = self.place.vfs.monotonic();
        let last = pages.last_look.replace((now, *written_bytes));
        let is_quick = last.is_some_and(|(time, bytes)| {
            let elapsed = now.saturating_sub(time).as_nanos() << 20;
            elapsed <= QUICK.as_nanos() * u128::from(*written_bytes - bytes)
        });
        // Where more space has been reserved, more can be made ready.
        pages.next_look = space.min(end + AHEAD / 2);
        let range = end.max(pages.ready)..space.min(end + AHEAD);
        if is_quick && !range.is_empty() {
            pages.ready = range.end;
            pages.wanted = active.live.segment.mapping().map(|it| (it, range));
            if let Some(ask) = self.ask.get() {
                ask();
            }
        }
    }

    /// Makes ready what pages were asked for.
    pub fn prepare_pages(&self) {
        let wanted = self.tail.lock().pages.wanted.take();
        if let Some((mapping, range)) = wanted {
            for begin in range.clone().step_by(PIECE) {
                let length = (range.end - begin).min(PIECE as u64);
                mapping.make_ready(begin as usize, length as usize);
            }
        }
    }
}

#[cfg(test)]
mod tests;
