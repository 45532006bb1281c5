//! The memory of a batch: bytes are appended piece by piece, each lies in one block, and none ever moves.
//!
//! Blocks come from the buffer pool of the process, and wait there for other batches when they are given back. The first one is
//! as long as the [profile](Profile) says, or as the batch itself was before, or as most batches of the process were, and where the pool
//! has nothing of about that length a shorter one and another for the rest; later ones add a 40th part of what there is, or as
//! much more as pieces like the last one fit in better. So little is unused, of a batch like others least.
//!
//! What was appended since some [position](Position) is taken out by going back there. That touches one block's length, whatever
//! is dropped, and keeps the blocks behind for what comes next.
#![allow(unsafe_code)]

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};

use super::buffer_pool::{Block, BufferPool, process_pool, process_pool_if_any};
use crate::error::{Error, Result};

mod history;
mod profile;
#[cfg(test)]
mod tests;

use history::HISTORY;
pub use profile::Profile;

/// A later block has so many bytes at least.
const LEAST_BYTES: usize = 1 << 10;

/// A later block has this part of all before it.
const GROWTH_PART: usize = 40;

/// If it holds fewer pieces, its length is one of which they leave little, if all are as long as the one that asks for it.
const FEW: usize = 64;

/// How much memory an emptied arena keeps for the next use.
const MOST_KEPT_BYTES: usize = 1 << 20;

/// Bytes of the blocks of all arenas of the process.
static BYTES: AtomicU64 = AtomicU64::new(0);

/// Bytes of the blocks of all batches of the process.
pub fn bytes_of_process() -> u64 {
    BYTES.load(Ordering::Relaxed)
}

/// How long a [prefix](BatchArena::append) may be.
pub const PREFIX_BYTES: usize = 16;

/// Pieces of bytes in blocks, in the order in which they were appended.
#[derive(Debug, Default)]
pub struct BatchArena {
    /// Those up to `current` hold pieces, later ones are empty.
    parts: Vec<Part>,
    current: usize,
    /// How much of the current block is in use, if not less. Here, so that going back touches no block's line.
    used: usize,
    /// `None` if batches of the past decide.
    profile: Option<Profile>,
    /// How long all pieces were before it was last emptied; 0 if there were none yet.
    earlier_bytes: usize,
    /// How long all pieces will be, as was guessed when the first block was taken.
    expected: usize,
    /// Bytes of all blocks.
    room: usize,
}

/// A block, and how much of it is in use.
pub struct Part {
    block: Block<'static>,
    used: usize,
}

/// Where the pieces of an arena ended at some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    part: usize,
    used: usize,
}

impl BatchArena {
    /// An empty arena, which has no memory yet.
    pub fn new(profile: Option<Profile>) -> Self {
        let mut arena = Self::default();
        arena.profile = profile;
        arena
    }

    /// Appends a piece: the lowest `prefix_len` bytes of `prefix`, the lowest first, 16 at most, and then `parts`, without a gap.
    ///
    /// # Errors
    /// `Memory` if there is no more; then the arena is as it was.
    #[inline(always)]
    pub fn append(&mut self, prefix: u128, prefix_len: usize, parts: [&[u8]; 2]) -> Result<()> {
        assert!(prefix_len <= PREFIX_BYTES);
        let [one, other] = parts;
        // No overflow: slices are shorter than half of all addresses, and their sum is checked below.
        let length = prefix_len + one.len();
        let length = length.checked_add(other.len()).ok_or_else(no_memory)?;
        let needed = length.max(PREFIX_BYTES);
        let used = self.used;
        let has_room = |part: &Part| part.block.room() - part.used.min(used) >= needed;
        let part = match self.parts.get_mut(self.current) {
            Some(part) if has_room(part) => part,
            _ => self.next_part(needed)?,
        };
        part.used = part.used.min(used);
        // SAFETY: the block is this arena's alone and has `needed` bytes left, enough for the whole prefix, and for the piece.
        // The slices cannot overlap it, as nobody can borrow a piece while the arena changes.
        unsafe {
            let place = part.block.address().as_ptr().add(part.used);
            place
                .cast::<[u8; PREFIX_BYTES]>()
                .write_unaligned(prefix.to_le_bytes());
            let place = place.add(prefix_len);
            std::ptr::copy_nonoverlapping(one.as_ptr(), place, one.len());
            std::ptr::copy_nonoverlapping(other.as_ptr(), place.add(one.len()), other.len());
        }
        part.used += length;
        self.used = part.used;
        Ok(())
    }

    /// Goes on to a block with room for `needed` bytes.
    #[cold]
    fn next_part(&mut self, needed: usize) -> Result<&mut Part> {
        let next = match self.parts.get_mut(self.current) {
            Some(part) if part.used.min(self.used) > 0 => {
                part.used = part.used.min(self.used);
                self.current + 1
            }
            _ => self.current,
        };
        let has_room = |part: &Part| part.block.room() >= needed;
        if !self.parts.get(next).is_some_and(has_room) {
            self.add_part(needed)?;
            let last = self.parts.len() - 1;
            self.parts.swap(next, last);
        }
        self.current = next;
        let part = &mut self.parts[next];
        part.used = 0;
        Ok(part)
    }

    /// Between which lengths the next block is to be, for a piece of `needed` bytes to begin with.
    fn block_lengths(&mut self, pool: &BufferPool, needed: usize) -> RangeInclusive<usize> {
        if self.parts.is_empty() {
            self.expected = match (self.earlier_bytes, self.profile) {
                (0, Some(profile)) => profile.first_bytes(),
                (0, None) => HISTORY.first_bytes(),
                // Used again for much the same, most likely.
                (earlier, _) => earlier.min(Profile::Huge.first_bytes()),
            };
            return needed..=self.expected.max(needed);
        }
        let in_use: usize = self.parts.iter().map(|part| part.used).sum();
        let rest = self.expected.saturating_sub(in_use);
        if rest >= needed {
            return rest..=rest;
        }
        let growth = (self.room / GROWTH_PART).max(LEAST_BYTES);
        let length = match growth / needed {
            0 => needed,
            pieces if pieces < FEW => pool.length_for(needed, growth..=growth + growth / 2),
            _ => growth,
        };
        length..=length
    }

    fn add_part(&mut self, needed: usize) -> Result<()> {
        if self.parts.len() == self.parts.capacity() {
            // By less than a list usually grows, which doubles.
            let more = self.parts.len() / 8 + 1;
            let reserved = self.parts.try_reserve_exact(more);
            reserved.map_err(|_| no_memory())?;
        }
        let pool = process_pool()?;
        let lengths = self.block_lengths(pool, needed);
        // What goes beyond the piece is a guess.
        let block = pool
            .block_between(lengths)
            .or_else(|_| pool.block(needed))?;
        self.room += block.room();
        BYTES.fetch_add(block.room() as u64, Ordering::Relaxed);
        self.parts.push(Part { block, used: 0 });
        Ok(())
    }

    /// Where the pieces end.
    pub fn position(&self) -> Position {
        Position {
            part: self.current,
            used: self.used,
        }
    }

    /// Takes out what was appended since `position`, which is one of this arena since it was last cleared, and nothing that it
    /// took out itself. Frees nothing.
    pub fn cut(&mut self, position: Position) {
        debug_assert!(position.part <= self.current);
        self.current = self.current.min(position.part);
        // Of what was written of the block, if that is less.
        self.used = position.used;
    }

    /// Takes all pieces out. One block that is not too long stays for the next use; all others go back to the pool.
    pub fn clear(&mut self) {
        self.note_past();
        if self.parts.len() > 1 || self.room > MOST_KEPT_BYTES {
            self.give_back();
        }
        self.cut(Position::default());
    }

    fn note_past(&mut self) {
        let (full, last) = self.in_use();
        let used = full.iter().map(|part| part.used).sum::<usize>() + last.len();
        if used > 0 {
            HISTORY.note(used);
            self.earlier_bytes = used;
        }
    }

    fn give_back(&mut self) {
        BYTES.fetch_sub(self.room as u64, Ordering::Relaxed);
        self.room = 0;
        self.current = 0;
        self.used = 0;
        let pool = process_pool_if_any();
        for part in self.parts.drain(..) {
            // In a forked child another thread of the parent may have left that pool locked for ever.
            if !pool.is_some_and(|pool| part.block.is_of(pool)) {
                std::mem::forget(part);
            }
        }
    }

    /// Where the pieces lie, in order: in blocks that nothing is added to any more, and behind them in the current one.
    pub fn in_use(&self) -> (&[Part], &[u8]) {
        match self.parts.get(self.current) {
            Some(part) => {
                let written = part.bytes();
                let last = &written[..written.len().min(self.used)];
                (&self.parts[..self.current], last)
            }
            None => (&[], &[]),
        }
    }

    /// All bytes that the arena takes: of its blocks, and of the list of them.
    pub fn bytes(&self) -> usize {
        self.room + self.parts.capacity() * size_of::<Part>()
    }
}

impl Drop for BatchArena {
    fn drop(&mut self) {
        self.note_past();
        self.give_back();
    }
}

impl Part {
    /// The pieces in the block, back to back.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the first `used` bytes of the block have been written, and change only while the arena is borrowed mutably.
        unsafe { std::slice::from_raw_parts(self.block.address().as_ptr(), self.used) }
    }
}

impl std::fmt::Debug for Part {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} bytes of {}", self.used, self.block.room())
    }
}

#[cold]
fn no_memory() -> Error {
    Error::memory("a batch")
}
