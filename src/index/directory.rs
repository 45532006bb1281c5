//! The extendible directory: which shard a hash belongs to (Fagin and others, "Extendible hashing", 1979).

use std::sync::Arc;

use super::shard::Shard;
use crate::error::{Error, Result};
use crate::memory::budget::{HeapCharge, MemoryBudget};
use crate::memory::placed::Placed;

/// Most leading hash bits that choose a shard.
pub(super) const MAX_DEPTH: u32 = 24;

/// An array of 2^depth shards, chosen by the leading `depth` bits of the hash. A shard of lower depth stands in
/// as many neighbouring entries as hashes lead to it. Immutable: a split or a merge makes a new one.
pub(super) struct Directory {
    depth: u32,
    /// The greatest depth that this directory or one before it had.
    deepest: u32,
    shards: Box<[Placed<Shard>]>,
    budget: Arc<MemoryBudget>,
    _charge: HeapCharge,
}

/// The entries of a directory to come.
struct Entries {
    shards: Vec<Placed<Shard>>,
    charge: HeapCharge,
}

impl Directory {
    /// A directory of 2^depth shards of that depth.
    pub(super) fn new(
        depth: u32,
        budget: &Arc<MemoryBudget>,
        mut shard: impl FnMut() -> Result<Placed<Shard>>,
    ) -> Result<Self> {
        let mut entries = Entries::reserve(budget, 1 << depth)?;
        for _ in 0..1_usize << depth {
            entries.shards.push(shard()?);
        }
        Ok(Self::of(entries, depth, depth, budget))
    }

    fn of(entries: Entries, depth: u32, deepest: u32, budget: &Arc<MemoryBudget>) -> Self {
        Self {
            depth,
            deepest,
            shards: entries.shards.into_boxed_slice(),
            budget: budget.clone(),
            _charge: entries.charge,
        }
    }

    /// A directory of `shards`, which cover every hash once and are in the order of their hashes.
    pub(super) fn from_shards(
        members: Vec<Placed<Shard>>,
        budget: &Arc<MemoryBudget>,
    ) -> Result<Self> {
        let depth = members.iter().map(|shard| shard.depth()).max().unwrap_or(0);
        let mut entries = Entries::reserve(budget, 1 << depth)?;
        for shard in members {
            let copies = 1 << (depth - shard.depth());
            let copies = std::iter::repeat_n(shard, copies);
            entries.shards.extend(copies);
        }
        Ok(Self::of(entries, depth, depth, budget))
    }

    #[inline]
    pub(super) fn shard(&self, hash: u64) -> &Shard {
        &self.shards[self.entry(hash)]
    }

    #[inline]
    fn entry(&self, hash: u64) -> usize {
        // Two shifts, because one by 64 would not be defined.
        (hash >> 1).wrapping_shr(u64::BITS - 1 - self.depth) as usize
    }

    /// This directory with `halves` in place of the one shard that `hash` leads to.
    pub(super) fn split(&self, hash: u64, halves: [Placed<Shard>; 2]) -> Result<Self> {
        let [lower, upper] = halves;
        let depth = self.depth.max(lower.depth());
        let mut entries = Entries::reserve(&self.budget, 1 << depth)?;
        let copies = 1 << (depth - self.depth);
        for shard in &self.shards {
            let copies = std::iter::repeat_n(shard, copies).cloned();
            entries.shards.extend(copies);
        }
        let deepest = self.deepest.max(depth);
        let mut directory = Self::of(entries, depth, deepest, &self.budget);
        let span = 1 << (depth - lower.depth());
        let first = directory.entry(hash) & !(2 * span - 1);
        directory.shards[first..first + span].fill(lower);
        directory.shards[first + span..first + 2 * span].fill(upper);
        Ok(directory)
    }

    /// This directory with `whole` in place of the two shards that are its halves; `hash` leads to one of them. Half as
    /// long if no other shard needs the last bit.
    pub(super) fn merge(&self, hash: u64, whole: Placed<Shard>) -> Result<Self> {
        let span = 1 << (self.depth - whole.depth());
        let first = self.entry(hash) & !(span - 1);
        let is_replaced = |entry: usize| (first..first + span).contains(&entry);
        let needs_all_bits =
            |entry: usize| !is_replaced(entry) && self.shards[entry].depth() == self.depth;
        // Where there is one that needs all bits, its neighbour is another.
        let halves = span == 2 && !(0..self.shards.len()).step_by(2).any(needs_all_bits);
        let step = if halves { 2 } else { 1 };
        let mut entries = Entries::reserve(&self.budget, self.shards.len() / step)?;
        entries
            .shards
            .extend((0..self.shards.len()).step_by(step).map(|entry| {
                if is_replaced(entry) {
                    whole.clone()
                } else {
                    self.shards[entry].clone()
                }
            }));
        let depth = self.depth - u32::from(halves);
        Ok(Self::of(entries, depth, self.deepest, &self.budget))
    }

    /// The greatest depth that a shard of the index ever had.
    pub(super) fn deepest(&self) -> u32 {
        self.deepest
    }

    /// The shard that was or would be split off the one of `depth` that `hash` leads to; `None` if it is split itself, or
    /// there is but one shard.
    pub(super) fn sibling(&self, hash: u64, depth: u32) -> Option<&Shard> {
        let bit = 1_u64.checked_shl(u64::BITS - depth)?;
        let sibling = self.shard(hash ^ bit);
        (sibling.depth() == depth).then_some(sibling)
    }

    /// Every shard once, by rising hashes.
    pub(super) fn shards(&self) -> impl Iterator<Item = &Shard> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let shard = self.shards.get(next)?;
            next += 1 << (self.depth - shard.depth());
            Some(&**shard)
        })
    }

    /// Bytes of the directory's own.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.shards)
    }
}

impl Entries {
    fn reserve(budget: &Arc<MemoryBudget>, entries: usize) -> Result<Self> {
        let bytes = size_of::<Directory>() + entries * size_of::<Placed<Shard>>();
        let charge = budget.charge(bytes)?;
        let mut shards = Vec::new();
        let reserved = shards.try_reserve_exact(entries);
        reserved.map_err(|_| Error::memory("the index directory"))?;
        Ok(Self { shards, charge })
    }
}
