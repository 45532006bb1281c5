//! How large the batches of this process were.
//!
//! All figures are hints: threads that note at the same time may overwrite each other's.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use super::Profile;

/// When so many batches have been counted all counts are halved, so that what was long ago counts less and less.
const MOST_COUNTED: u32 = 64;

/// The batches of this process.
pub static HISTORY: History = History::new();

/// Counts of batches by profile.
pub struct History {
    counts: [AtomicU32; 5],
    /// Bytes of the latest of each profile.
    latest: [AtomicUsize; 5],
}

impl History {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self {
            counts: [const { AtomicU32::new(0) }; 5],
            latest: [const { AtomicUsize::new(0) }; 5],
        }
    }

    /// Notes that there was a batch of so many bytes.
    pub fn note(&self, bytes: usize) {
        let place = Profile::of(bytes).place();
        if self.latest[place].load(Relaxed) != bytes {
            self.latest[place].store(bytes, Relaxed);
        }
        if self.counts[place].fetch_add(1, Relaxed) >= MOST_COUNTED {
            for count in &self.counts {
                count.store(count.load(Relaxed) / 2, Relaxed);
            }
        }
    }

    /// How long the first block of a batch is: as long as the latest batch of the most frequent profile, so that another one
    /// like it lies in a single block; 4 KiB at least, 16 MiB at most.
    pub fn first_bytes(&self) -> usize {
        let most_frequent = Profile::ALL.into_iter().max_by_key(|profile| {
            // Of several the smallest.
            (
                self.counts[profile.place()].load(Relaxed),
                -(*profile as i32),
            )
        });
        let profile = most_frequent.unwrap_or(Profile::Tiny);
        let latest = self.latest[profile.place()].load(Relaxed);
        latest.clamp(Profile::Tiny.first_bytes(), Profile::Huge.first_bytes())
    }
}
