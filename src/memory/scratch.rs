//! Bytes that grow large, are used once, and go back to the system whole.
//!
//! The C library's allocator keeps what a block leaves behind in its heaps: it maps large blocks at first, but no longer once one
//! of their size has been freed. A thread that works now and then would hold on to megabytes for nothing.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::MmapMut;

use super::budget::{Loan, MemoryBudget};
use super::page_arena::PAGE_BYTES;
use crate::error::{Error, Result};

/// Of what is mapped, only pages that were written become memory.
const LEAST_MAPPED_BYTES: usize = 64 << 10;

/// The memory of all lists of the process.
static BYTES: AtomicUsize = AtomicUsize::new(0);

/// Bytes of RAM that all lists of the process take now.
pub fn bytes() -> usize {
    BYTES.load(Ordering::Relaxed)
}

/// A list of bytes in memory of its own.
#[derive(Default)]
pub struct Scratch {
    memory: Option<MmapMut>,
    length: usize,
    /// Bytes of the pages that were written, which are its part of [`BYTES`].
    written: usize,
    budget: Arc<MemoryBudget>,
    loan: Option<Loan>,
}

impl Scratch {
    /// An empty list that takes its memory from `budget`.
    pub fn within(budget: Arc<MemoryBudget>) -> Self {
        Self {
            memory: None,
            length: 0,
            written: 0,
            budget,
            loan: None,
        }
    }

    /// Appends `bytes`, which are part of `what`.
    ///
    /// # Errors
    /// `Memory`; then it is as it was.
    pub fn append(&mut self, bytes: &[u8], what: &str) -> Result<()> {
        self.reserve(bytes.len(), what)?;
        let length = self.length + bytes.len();
        if let Some(memory) = &mut self.memory {
            memory[self.length..length].copy_from_slice(bytes);
            self.length = length;
        }
        let written = length.next_multiple_of(PAGE_BYTES);
        if written > self.written {
            self.count(written);
        }
        Ok(())
    }

    /// Forgets the bytes and keeps the memory.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// Takes the memory for `bytes` of `what` at once, and has the system give it, so that what was taken is what is in use.
    ///
    /// # Errors
    /// `Memory`; then it is as it was.
    pub fn fill_memory(&mut self, bytes: usize, what: &str) -> Result<()> {
        self.reserve(bytes, what)?;
        let Some(memory) = &mut self.memory else {
            return Ok(());
        };
        memory[self.length..].fill(0);
        let written = memory.len();
        self.count(written);
        Ok(())
    }

    /// Makes room for `bytes` more of `what`.
    ///
    /// # Errors
    /// `Memory`; then it is as it was.
    pub fn reserve(&mut self, bytes: usize, what: &str) -> Result<()> {
        let length = self.length + bytes;
        let capacity = self.memory.as_ref().map_or(0, |memory| memory.len());
        if length > capacity {
            let capacity = length.next_power_of_two().max(LEAST_MAPPED_BYTES);
            let loan = self.budget.lend(capacity)?;
            let mut larger = MmapMut::map_anon(capacity).map_err(|_| Error::memory(what))?;
            larger[..self.length].copy_from_slice(self);
            self.memory = Some(larger);
            self.loan = Some(loan);
            self.count(self.length.next_multiple_of(PAGE_BYTES));
        }
        Ok(())
    }

    fn count(&mut self, written: usize) {
        BYTES.fetch_add(written, Ordering::Relaxed);
        BYTES.fetch_sub(self.written, Ordering::Relaxed);
        self.written = written;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.count(0);
    }
}

impl Deref for Scratch {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.memory {
            Some(memory) => &memory[..self.length],
            None => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_kept_in_order_while_it_grows() {
        let mut scratch = Scratch::default();
        assert!(scratch.is_empty());
        let mut expected = Vec::new();
        for number in 0..2000_u32 {
            let piece = vec![number as u8; number as usize % 300];
            scratch.append(&piece, "a test").unwrap();
            expected.extend_from_slice(&piece);
        }
        assert!(expected.len() > 2 * LEAST_MAPPED_BYTES);
        assert_eq!(*scratch, *expected);
        scratch.clear();
        assert!(scratch.is_empty());
        scratch.append(b"again", "a test").unwrap();
        assert_eq!(*scratch, *b"again");
    }

    #[test]
    fn what_was_written_counts_until_the_list_is_dropped() {
        let mut scratch = Scratch::default();
        scratch.reserve(1 << 20, "a test").unwrap();
        assert_eq!(scratch.written, 0);
        scratch.append(&[1; 5000], "a test").unwrap();
        scratch.clear();
        scratch.append(&[1; 10], "a test").unwrap();
        assert_eq!(scratch.written, 8192);
        // Other tests have lists of their own.
        assert!(bytes() >= 8192);
        scratch.reserve(2 << 20, "a test").unwrap();
        assert_eq!(scratch.written, 4096);
        scratch.fill_memory(3 << 20, "a test").unwrap();
        assert_eq!((scratch.len(), scratch.written), (10, 4 << 20));
    }
}
