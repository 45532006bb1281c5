//! Filling a new table, which nobody else sees yet: so nothing here minds readers.

use std::sync::atomic::Ordering;

use super::bucket::{Bucket, Content, Lanes, Slots};
use super::carried::Carried;
use super::encoding::lane;
use super::table::{Half, NO_REFERENCE, Position, Table, load_reference};
use crate::error::Result;
use crate::memory::key_slab::{KeyAppender, KeySlabView};

/// So many buckets before their keys are copied they are asked for, so that the misses on the slab overlap.
const BUCKETS_AHEAD: usize = 4;

impl Table {
    /// Puts an entry into its home bucket; `false` if that is full. For a new table from which nothing was removed, and a
    /// location, if the entry has one, from a table with no more bits for it.
    #[inline]
    pub(super) fn put_home(&self, entry: &Carried) -> bool {
        let (home, tag) = self.encoding().home_and_tag(entry.fingerprint);
        let slots = Slots(self.line(home));
        let Some(slot) = slots.free() else {
            return false;
        };
        let field = self.encoding().field_as_short(tag, entry.location);
        slots.put_new(slot, Content::new(lane(tag), field));
        let position = Position { bucket: home, slot };
        self.set_reference(position, entry.reference);
        true
    }

    /// Brings the keys of a bucket near that are copied after those of `bucket` and some others.
    #[inline]
    pub(super) fn prefetch_keys_ahead(
        &self,
        half: Option<Half>,
        bucket: usize,
        slab: &KeySlabView<'_>,
    ) {
        let ahead = bucket + BUCKETS_AHEAD;
        let Some(keys) = self.keys().filter(|_| ahead < self.stash().end) else {
            return;
        };
        let mut slots = self.slots_of(half, ahead, &Lanes::load(self.line(ahead)));
        while slots != 0 {
            let slot = slots.trailing_zeros() as usize;
            slots &= slots - 1;
            slab.prefetch(load_reference(keys.references(ahead), slot));
        }
    }

    /// Takes over all entries of `source`, a table of the same shape and encoding, each at its place, and copies their
    /// keys to the slab of `appender` if there is one. The table must be new.
    ///
    /// # Errors
    /// `Memory` if the keys cannot be copied.
    pub(super) fn take_over(
        &self,
        source: &Self,
        appender: Option<&mut KeyAppender>,
    ) -> Result<()> {
        debug_assert_eq!(
            (self.shape(), self.encoding()),
            (source.shape(), source.encoding())
        );
        let mut scratch = Vec::new();
        let mut copying = match (appender, source.keys()) {
            (Some(appender), Some(keys)) => Some((appender, keys.slab().view()?)),
            _ => None,
        };
        for number in 0..self.stash().end {
            let bucket = Bucket::load(source.line(number));
            bucket.store(self.line(number));
            let Some(keys) = source.keys() else {
                continue;
            };
            if let Some((_, slab)) = &copying {
                source.prefetch_keys_ahead(None, number, slab);
            }
            let mut slots = bucket.occupied();
            while slots != 0 {
                let slot = slots.trailing_zeros() as usize;
                slots &= slots - 1;
                let mut reference = load_reference(keys.references(number), slot);
                if let Some((appender, slab)) = &mut copying {
                    reference = copy_key(slab, reference, appender, &mut scratch)?;
                }
                let position = Position {
                    bucket: number,
                    slot,
                };
                self.set_reference(position, reference);
            }
        }
        self.take_over_stash_homes(source);
        let entries = source.stash_entries.load(Ordering::Relaxed);
        self.stash_entries.store(entries, Ordering::Relaxed);
        Ok(())
    }
}

/// The reference of the key at `reference` of `slab` where `appender` has copied it to, if there is a key.
///
/// # Errors
/// Those of [`KeyAppender::append_copy`].
#[inline]
pub(super) fn copy_key(
    slab: &KeySlabView<'_>,
    reference: u32,
    appender: &mut KeyAppender,
    scratch: &mut Vec<u8>,
) -> Result<u32> {
    if reference == NO_REFERENCE {
        return Ok(reference);
    }
    appender.append_copy(slab, reference, scratch)
}
