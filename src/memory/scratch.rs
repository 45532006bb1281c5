//! Bytes that grow large, are used once, and go back to the system whole.
//!
//! The C library's allocator keeps what a block leaves behind in its heaps: it maps large blocks at first, but no longer once one
//! of their size has been freed. A thread that works now and then would hold on to megabytes for nothing.

use std::ops::Deref;
use std::sync::Arc;

use memmap2::MmapMut;

use super::budget::{Loan, MemoryBudget};
use crate::error::{Error, Result};

/// Of what is mapped, only pages that were written become memory.
const LEAST_MAPPED_BYTES: usize = 64 << 10;

/// A list of bytes in memory of its own.
#[derive(Default)]
pub struct Scratch {
    memory: Option<MmapMut>,
    length: usize,
    budget: Arc<MemoryBudget>,
    loan: Option<Loan>,
}

impl Scratch {
    /// An empty list that takes its memory from `budget`.
    pub fn within(budget: Arc<MemoryBudget>) -> Self {
        Self {
            budget,
            ..Self::default()
        }
    }

    /// Appends `bytes`, which are part of `what`.
    ///
    /// # Errors
    /// `Memory`; then it is as it was.
    pub fn append(&mut self, bytes: &[u8], what: &str) -> Result<()> {
        let length = self.length + bytes.len();
        let capacity = self.memory.as_ref().map_or(0, |memory| memory.len());
        if length > capacity {
            let capacity = length.next_power_of_two().max(LEAST_MAPPED_BYTES);
            let loan = self.budget.lend(capacity)?;
            let mut larger = MmapMut::map_anon(capacity).map_err(|_| Error::memory(what))?;
            larger[..self.length].copy_from_slice(self);
            self.memory = Some(larger);
            self.loan = Some(loan);
        }
        if let Some(memory) = &mut self.memory {
            memory[self.length..length].copy_from_slice(bytes);
            self.length = length;
        }
        Ok(())
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
    }
}
