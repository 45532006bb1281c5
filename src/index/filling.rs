//! Filling a new table, which nobody else sees yet: so nothing here minds readers.

use std::sync::atomic::Ordering;

use super::Location;
use super::bucket::{Bucket, Slots};
use super::encoding::lane;
use super::table::{Half, NO_REFERENCE, Position, Table, load_reference};
use crate::error::Result;
use crate::memory::key_slab::{KeyAppender, KeySlab};

/// So many buckets before their keys are copied they are asked for, so that the misses on the slab overlap.
const BUCKETS_AHEAD: usize = 4;

impl Table {
    /// Puts an entry into its home bucket; `false` if that is full. For a new table from which nothing was removed.
    #[inline]
    pub(super) fn put_home(
        &self,
        fingerprint: u64,
        location: Option<Location>,
        reference: u32,
    ) -> bool {
        let (home, tag) = self.encoding().home_and_tag(fingerprint);
        let slots = Slots(self.line(home));
        let Some(slot) = slots.free() else {
            return false;
        };
        let field = match location {
            Some(location) => self.encoding().field(tag, location),
            None => self.encoding().field_without_location(tag),
        };
        slots.put_new(slot, lane(tag), field);
        let position = Position { bucket: home, slot };
        self.set_reference(position, reference);
        true
    }

    /// Brings the keys of a bucket near that [`Table::for_each_of`] comes to after `bucket` and some others.
    #[inline]
    pub(super) fn prefetch_keys_ahead(&self, half: Option<Half>, bucket: usize) {
        let ahead = bucket + BUCKETS_AHEAD;
        let Some(keys) = self.keys().filter(|_| ahead < self.stash().end) else {
            return;
        };
        let mut slots = self.slots_of(half, ahead, &Bucket::load(self.line(ahead)));
        while slots != 0 {
            let slot = slots.trailing_zeros() as usize;
            slots &= slots - 1;
            keys.slab()
                .prefetch(load_reference(keys.references(ahead), slot));
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
        mut appender: Option<&mut KeyAppender>,
    ) -> Result<()> {
        debug_assert_eq!(
            (self.shape(), self.encoding()),
            (source.shape(), source.encoding())
        );
        let mut scratch = Vec::new();
        for number in 0..self.stash().end {
            let bucket = Bucket::load(source.line(number));
            bucket.store(self.line(number));
            if let Some(keys) = source.keys() {
                if appender.is_some() {
                    source.prefetch_keys_ahead(None, number);
                }
                let mut slots = bucket.occupied();
                while slots != 0 {
                    let slot = slots.trailing_zeros() as usize;
                    slots &= slots - 1;
                    let reference = load_reference(keys.references(number), slot);
                    let reference = copy_key(
                        keys.slab(),
                        reference,
                        appender.as_deref_mut(),
                        &mut scratch,
                    )?;
                    let position = Position {
                        bucket: number,
                        slot,
                    };
                    self.set_reference(position, reference);
                }
            }
        }
        self.take_over_stash_homes(source);
        let entries = source.stash_entries.load(Ordering::Relaxed);
        self.stash_entries.store(entries, Ordering::Relaxed);
        Ok(())
    }
}

/// The reference of the key at `reference` of `slab` where `appender` has copied it to, if there is an appender and a key.
///
/// # Errors
/// Those of [`KeyAppender::append_copy`].
#[inline]
pub(super) fn copy_key(
    slab: &KeySlab,
    reference: u32,
    appender: Option<&mut KeyAppender>,
    scratch: &mut Vec<u8>,
) -> Result<u32> {
    match appender {
        Some(appender) if reference != NO_REFERENCE => {
            appender.append_copy(slab, reference, scratch)
        }
        _ => Ok(reference),
    }
}
