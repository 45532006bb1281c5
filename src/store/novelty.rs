//! Whether puts come with new keys, as far as the last ones tell.

use std::sync::atomic::{AtomicU32, Ordering};

/// After so many new keys one behind the other the next one is expected to be new, too.
const ENOUGH: u32 = 16;

/// Counts new keys since one was put that was there already. Only a guess rests on it: threads may lose each other's counts.
#[derive(Default)]
pub struct Novelty {
    in_a_row: AtomicU32,
}

impl Novelty {
    /// Whether the key of the next put is probably new.
    #[inline]
    pub fn is_expected(&self) -> bool {
        self.in_a_row.load(Ordering::Relaxed) >= ENOUGH
    }

    /// Takes note of a put of a key that was new, or not. Writes nothing while it goes on as expected.
    #[inline]
    pub fn note(&self, is_new: bool) {
        let in_a_row = self.in_a_row.load(Ordering::Relaxed);
        let now = match is_new {
            true => (in_a_row + 1).min(ENOUGH),
            false => 0,
        };
        if now != in_a_row {
            self.in_a_row.store(now, Ordering::Relaxed);
        }
    }
}
