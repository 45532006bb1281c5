//! Copies that the library itself keeps for a while.
#![allow(unsafe_code)]

use super::{Buffer, BufferPool};
use crate::error::Result;

/// A copy of some bytes in a buffer, which goes back to its pool when this is dropped.
pub struct KeptCopy<'p>(Buffer<'p>);

// SAFETY: through a shared reference the bytes are only read, and the pool may be used from any thread.
unsafe impl Sync for KeptCopy<'_> {}

impl BufferPool {
    /// A copy of `bytes` to be kept for a while.
    pub fn keep_copy(&self, bytes: &[u8]) -> Result<KeptCopy<'_>> {
        Ok(KeptCopy(self.copy_of(bytes)?))
    }
}

impl KeptCopy<'_> {
    /// The copy.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: all bytes were written when the copy was made, and the buffer is this value's alone.
        unsafe { std::slice::from_raw_parts(self.0.address.as_ptr(), self.0.length) }
    }
}
