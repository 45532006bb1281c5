//! When an image is due, and what became of those that were.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::names::Names;
use crate::store::commit_log::FULL_SHARE;
use crate::store::options::Options;

/// An image smaller than this is written as often as segments are sealed; a larger one only when as much log has come.
const SMALL_BYTES: u64 = 1 << 20;

/// No image is written while this is there.
pub struct Paused<'k>(MutexGuard<'k, State>);

impl Paused<'_> {
    /// Whether there is an image of which a merge would take segments away.
    pub fn has_image(&self) -> bool {
        !self.0.names.complete.is_empty()
    }

    /// Takes note that the images there are name segments that are no longer there, replaced by `output`, of which there is a
    /// list of moves if it `is_listed`.
    pub fn forget(&mut self, output: u64, is_listed: bool) {
        self.0.covered = None;
        if is_listed {
            self.0.names.moves.push(output);
        }
    }
}

/// What is known of a store's images. Whoever writes one holds the lock.
pub struct ImageKeeper {
    pub(super) state: Mutex<State>,
    written: AtomicU64,
    failed: AtomicU64,
    /// How much must have been sealed for the next image, as [`CommitLog::sealed`](crate::store::commit_log::CommitLog::sealed)
    /// counts it.
    due_at: AtomicU64,
    bytes: AtomicU64,
}

pub(super) struct State {
    pub(super) names: Names,
    /// Sequence number up to which the newest image covers the log, if there is one that belongs to it.
    pub(super) covered: Option<u64>,
}

impl ImageKeeper {
    /// A keeper for the images `names`, of which the one that was opened has `bytes` bytes and covers everything up to
    /// `covered`.
    pub fn new(names: Names, covered: Option<u64>, bytes: u64, options: &Options) -> Self {
        let keeper = Self {
            state: Mutex::new(State { names, covered }),
            written: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            due_at: AtomicU64::new(0),
            bytes: AtomicU64::new(bytes),
        };
        keeper.plan(0, options);
        keeper
    }

    /// Whether an image is to be written now that so much has been sealed since the opening.
    pub fn is_due(&self, sealed: u64) -> bool {
        sealed >= self.due_at.load(Ordering::Relaxed)
    }

    /// Images written, and attempts that failed.
    pub fn counts(&self) -> (u64, u64) {
        (
            self.written.load(Ordering::Relaxed),
            self.failed.load(Ordering::Relaxed),
        )
    }

    /// Size of the newest image; 0 if there is none.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Keeps images from being written until the answer is dropped.
    pub fn pause(&self) -> Paused<'_> {
        Paused(self.state.lock())
    }

    pub(super) fn set_bytes(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Plans the next image, as many segments from `sealed` on as the options say, or later if the last image was larger than
    /// that: so that images take no more writing than the log does.
    pub(super) fn plan(&self, sealed: u64, options: &Options) {
        let by_size = match self.bytes() {
            0..SMALL_BYTES => 0,
            bytes => bytes.div_ceil(options.segment_size),
        };
        let segments = u64::from(options.image_segments).max(by_size);
        let next = sealed + segments * FULL_SHARE;
        self.due_at.store(next, Ordering::Relaxed);
    }

    pub(super) fn count(&self, written: bool) {
        let counter = if written { &self.written } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
