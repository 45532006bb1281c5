//! Letting go of segments that nobody reads any more, in a thread that has nothing else to do.
//!
//! The last share of a segment may be anybody's: that of a get which happens to help the epoch on, or of a pin. To unmap a
//! segment, and to free the blocks of a removed file when its last descriptor is closed, takes the system milliseconds, and
//! tens of them where it tells the disk which blocks are free. No caller should wait for that.

use std::sync::Arc;

use super::segment::Content;
use crate::memory::awaited::Awaited;
use crate::vfs::File;

/// When so many wait, callers let go of theirs themselves: so what is kept on the disk for nobody stays bounded. Small segments
/// come by the hundred when a compaction that had much to do ends.
const MOST_WAITING: usize = 1024;

/// For so many there is memory from the beginning.
const RESERVED: usize = 64;

/// What is left of a segment: its mapping, if it has one, and a share of its file.
pub struct Remains {
    _content: Content,
    _file: Arc<dyn File>,
}

impl Remains {
    pub(super) fn new(content: Content, file: Arc<dyn File>) -> Self {
        Self {
            _content: content,
            _file: file,
        }
    }
}

/// Takes the remains of segments. Without a thread in [`Disposal::run`] they are let go of at once, by the calling thread. All
/// methods may be called from any thread.
#[derive(Default)]
pub struct Disposal {
    state: Awaited<State>,
}

#[derive(Default)]
struct State {
    waiting: Vec<Remains>,
    /// Whether somebody lets go of what waits.
    is_open: bool,
    /// Whether he is doing so just now.
    is_busy: bool,
}

impl Disposal {
    /// Lets remains wait for the thread that will call [`Self::run`]. If memory is too short for that, everything is let go of
    /// at once, as before.
    pub fn open(&self) {
        let mut state = self.state.lock();
        let reserved = state.waiting.try_reserve_exact(RESERVED);
        state.is_open = reserved.is_ok();
    }

    /// Lets go of what comes, until [`Self::close`] is called and nothing is left.
    pub fn run(&self) {
        let mut state = self.state.lock();
        loop {
            if let Some(remains) = state.waiting.pop() {
                state.is_busy = true;
                drop(state);
                drop(remains);
                state = self.state.lock();
                state.is_busy = false;
                continue;
            }
            self.state.notify();
            if !state.is_open {
                return;
            }
            state = self.state.wait(state);
        }
    }

    /// Ends [`Self::run`].
    pub fn close(&self) {
        self.state.change(|state| state.is_open = false);
    }

    /// Returns when nothing waits, so that the disk has its space back.
    pub fn wait_until_empty(&self) {
        let mut state = self.state.lock();
        while state.is_open && (state.is_busy || !state.waiting.is_empty()) {
            state = self.state.wait(state);
        }
    }

    /// Takes `remains`.
    pub(super) fn take(&self, remains: Remains) {
        let mut state = self.state.lock();
        let has_room = state.waiting.len() < MOST_WAITING && state.waiting.try_reserve(1).is_ok();
        if !state.is_open || !has_room {
            drop(state);
            drop(remains);
            return;
        }
        state.waiting.push(remains);
        drop(state);
        self.state.notify();
    }
}
