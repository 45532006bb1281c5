//! Buffers that go from their holder back to the pool, but not before something is done with their content.
#![allow(unsafe_code)]

use super::span_table::{Place, SlotReference};
use super::{BufferPool, Refused};

/// A buffer that its holder gave up on a condition. Nobody else can release it meanwhile, so that a second release by
/// mistake cannot pull it from under its reader. Dropped, it goes back to its holder.
pub struct TakenOver<'p> {
    pool: &'p BufferPool,
    address: *mut u8,
    length: usize,
    /// Class and slot, `None` for a large buffer.
    slot: Option<(usize, SlotReference)>,
}

impl BufferPool {
    /// Takes over the buffer that begins at `address` and has at least `length` bytes, if a caller holds one there,
    /// else refuses.
    ///
    /// # Safety
    /// If `address` is that of a buffer made by [`Buffer::into_raw`](super::Buffer::into_raw), then its first `length`
    /// bytes have been written, and nobody writes to them while the value lives.
    pub unsafe fn take_over(
        &self,
        address: *mut u8,
        length: usize,
    ) -> std::result::Result<TakenOver<'_>, Refused> {
        let shared = &*self.shared;
        let (slot, room) = match shared.table().locate(shared.classes(), address.addr()) {
            Place::Interior => return Err(Refused::Interior),
            Place::Outside => (None, shared.large.take_over(address.addr())?),
            Place::Slot(class, slot) => {
                if !shared.table().take_back(slot) {
                    return Err(Refused::NotInUse);
                }
                (Some((class, slot)), shared.classes().get(class).size)
            }
        };
        let taken_over = TakenOver {
            pool: self,
            address,
            length,
            slot,
        };
        if length > room {
            return Err(Refused::TooShort(room));
        }
        Ok(taken_over)
    }
}

impl TakenOver<'_> {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the buffer is as long, was written, and is changed by nobody, as was promised to `take_over`; it stays
        // where it is while this value lives.
        unsafe { std::slice::from_raw_parts(self.address, self.length) }
    }

    /// Gives the buffer back to the pool.
    pub fn release(self) {
        match self.slot {
            // SAFETY: the slot has been taken back by `take_over`, and its holder gave it up.
            Some((class, slot)) => unsafe { self.pool.put_slot(class, slot) },
            None => {
                let shared = &*self.pool.shared;
                shared.large.hand_back(self.address.addr());
                // It is there, so it is not refused.
                // SAFETY: its holder gave it up.
                let _ = unsafe { shared.large.release(self.address.addr(), shared.budget()) };
            }
        }
        std::mem::forget(self);
    }
}

impl Drop for TakenOver<'_> {
    fn drop(&mut self) {
        let shared = &*self.pool.shared;
        match self.slot {
            Some((_, slot)) => shared.table().hand_out(slot),
            None => shared.large.hand_back(self.address.addr()),
        }
    }
}
