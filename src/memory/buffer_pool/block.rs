//! Memory of the pool that the library itself fills and keeps, as a batch does. No caller knows its address, and a release of
//! it by mistake is refused.
#![allow(unsafe_code)]

use std::ops::RangeInclusive;
use std::ptr::NonNull;

use super::BufferPool;
use super::span_table::Place;
use crate::error::Result;

/// Longer blocks are extents, whatever the classes are: few wait in magazines, and these are for buffers of values.
const LONGEST_OF_CLASS: usize = 32 << 10;

/// A block of a pool, which goes back to it when dropped.
pub struct Block<'p> {
    pool: &'p BufferPool,
    address: NonNull<u8>,
    room: usize,
}

// SAFETY: a block owns its memory, and the pool may be used from any thread.
unsafe impl Send for Block<'_> {}
// SAFETY: a shared block only tells its address; who reads or writes there argues for himself.
unsafe impl Sync for Block<'_> {}

impl BufferPool {
    /// A block of at least `length` bytes, whose content is anything.
    ///
    /// # Errors
    /// `Memory` if the system has no more.
    pub fn block(&self, length: usize) -> Result<Block<'_>> {
        let class_size = self.class_size(length);
        let buffer = match class_size.filter(|_| length <= LONGEST_OF_CLASS) {
            Some(_) => self.get(length)?,
            None => self.get_large(length)?,
        };
        let address = buffer.into_raw();
        let shared = &*self.shared;
        let room = match shared
            .table()
            .locate(shared.classes(), address.addr().get())
        {
            Place::Slot(class, slot) => {
                shared.table().take_back(slot);
                shared.classes().get(class).size
            }
            // Also where a class has run out of addresses.
            _ => {
                let taken_over = shared.large.take_over(address.addr().get());
                taken_over.unwrap_or(length)
            }
        };
        Ok(Block {
            pool: self,
            address,
            room,
        })
    }
}

impl BufferPool {
    /// A block of about the greater of two lengths: with more than a 32nd unused only if no class is between the lengths.
    ///
    /// # Errors
    /// Those of [`BufferPool::block`].
    pub fn block_between(&self, lengths: RangeInclusive<usize>) -> Result<Block<'_>> {
        let (least, most) = lengths.into_inner();
        let unused = match self.class_size(most) {
            Some(size) if most <= LONGEST_OF_CLASS => size - most,
            _ => 0,
        };
        let shorter = self.shared.classes().size_below(most);
        match shorter.filter(|size| *size >= least && unused > most / 32) {
            Some(size) => self.block(size),
            None => self.block(most),
        }
    }

    /// Of the lengths of blocks between two lengths, that of which pieces of `piece` bytes, no longer than the shorter
    /// one, leave the least part unused.
    pub fn length_for(&self, piece: usize, lengths: RangeInclusive<usize>) -> usize {
        let (least, most) = lengths.into_inner();
        let classes = self.shared.classes().all().iter().map(|class| class.size);
        let of_class = classes.filter(|size| (least..=most.min(LONGEST_OF_CLASS)).contains(size));
        // Compares fractions: what is left of one length, times the other length.
        let left = |length: usize| (length % piece) as u128;
        of_class
            .min_by(|one, other| (left(*one) * *other as u128).cmp(&(left(*other) * *one as u128)))
            .unwrap_or(least / piece * piece)
    }
}

impl Block<'_> {
    /// Where it begins.
    #[inline]
    pub fn address(&self) -> NonNull<u8> {
        self.address
    }

    /// How many bytes it has.
    #[inline]
    pub fn room(&self) -> usize {
        self.room
    }

    /// Whether it is of `pool`.
    pub fn is_of(&self, pool: &BufferPool) -> bool {
        std::ptr::eq(self.pool, pool)
    }
}

impl Drop for Block<'_> {
    fn drop(&mut self) {
        let shared = &*self.pool.shared;
        let address = self.address.addr().get();
        match shared.table().locate(shared.classes(), address) {
            // SAFETY: the slot was handed out and taken back when the block was made, and it is used by nobody else.
            Place::Slot(class, slot) => unsafe { self.pool.put_slot(class, slot) },
            _ => {
                shared.large.hand_back(address);
                // It is there, so it is not refused.
                // SAFETY: the block was the extent's holder.
                let _ = unsafe { shared.large.release(address, shared.budget()) };
            }
        }
    }
}
