//! The log behind an image: its changes wait, by shard, until their shard is loaded.
//!
//! What compaction wrote lies in the order of the sequence numbers only within one segment. Changes from there are put in commit order
//! before they are made.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::changes::{Change, Changes, Maker};
use crate::error::{Error, Result};
use crate::index::image::ShardSummary;
use crate::memory::budget::{Loan, MemoryBudget};
use crate::memory::epoch;

/// Most memory in bytes that waiting changes may take.
const LIMIT_BYTES: usize = 64 << 20;
/// Where memory is limited, they may have this part of the reserve: twice, since lists double.
const RESERVE_PART: usize = 8;
/// After how many changes memory that they replaced may be freed.
const PINNED: usize = 256;
const NONE: u32 = u32::MAX;

/// Changes, and for each shard a chain of those that concern it, in the order in which they are made.
#[derive(Default)]
pub struct Tail {
    changes: Changes,
    /// For each change the next one of the same shard.
    next: Vec<u32>,
    shards: Vec<Chain>,
    /// No change may wait when these take so much.
    most_bytes: usize,
    _loan: Option<Loan>,
}

struct Chain {
    first_hash: u64,
    /// The first change that has not been made.
    first: AtomicU32,
    last: u32,
}

impl Tail {
    /// Nothing waits for any of `shards`, which cover every hash once and are in the order of their hashes.
    pub fn new(shards: &[ShardSummary], budget: &Arc<MemoryBudget>) -> Result<Self> {
        let most_bytes = match (budget.limit(), budget.growth_limit()) {
            (Some(limit), Some(growth)) => {
                ((limit - growth) as usize / RESERVE_PART).min(LIMIT_BYTES)
            }
            _ => LIMIT_BYTES,
        };
        let limited = budget.limit().is_some();
        let loan = limited.then(|| budget.lend(2 * most_bytes)).transpose()?;
        let mut chains = Vec::new();
        let reserved = chains.try_reserve_exact(shards.len());
        reserved.map_err(|_| no_memory())?;
        chains.extend(shards.iter().map(|shard| Chain {
            first_hash: shard.first_hash,
            first: AtomicU32::new(NONE),
            last: NONE,
        }));
        Ok(Self {
            shards: chains,
            most_bytes,
            _loan: loan,
            ..Self::default()
        })
    }

    /// Whether another change may wait.
    pub fn has_room(&self) -> bool {
        self.changes.bytes() + self.next.len() * size_of::<u32>() < self.most_bytes
    }

    /// Lets `change` wait, behind all others of its shard. Errors: `Memory`.
    pub fn push(&mut self, change: &Change<'_>) -> Result<()> {
        let position = u32::try_from(self.changes.len()).map_err(|_| no_memory())?;
        self.next.try_reserve(1).map_err(|_| no_memory())?;
        let behind = self.behind(change.hash);
        let Some(chain) = behind.checked_sub(1).and_then(|it| self.shards.get_mut(it)) else {
            return Err(no_memory());
        };
        self.changes.push(change)?;
        self.next.push(NONE);
        match self.next.get_mut(chain.last as usize) {
            Some(next) => *next = position,
            None => *chain.first.get_mut() = position,
        }
        chain.last = position;
        Ok(())
    }

    /// Puts the changes of each shard in the order of their sequence numbers. Errors: `Memory`.
    pub fn sort(&mut self) -> Result<()> {
        let mut positions = Vec::new();
        for chain in &mut self.shards {
            positions.clear();
            let mut position = *chain.first.get_mut();
            while let Some(next) = self.next.get(position as usize) {
                positions.try_reserve(1).map_err(|_| no_memory())?;
                positions.push(position);
                position = *next;
            }
            positions.sort_unstable_by_key(|it| self.changes.sequence(*it as usize));
            let mut following = NONE;
            for position in positions.iter().rev() {
                if let Some(next) = self.next.get_mut(*position as usize) {
                    *next = std::mem::replace(&mut following, *position);
                }
            }
            *chain.first.get_mut() = following;
            chain.last = positions.last().copied().unwrap_or(NONE);
        }
        Ok(())
    }

    /// Makes what waits for the shard that begins with `first_hash`, each change once, also if an error comes
    /// between. One thread at a time for one shard.
    pub fn make(&self, first_hash: u64, maker: &Maker<'_>) -> Result<()> {
        let behind = self.behind(first_hash);
        let Some(chain) = behind.checked_sub(1).and_then(|it| self.shards.get(it)) else {
            return Ok(());
        };
        let mut guard = epoch::pin();
        for count in 1_usize.. {
            let position = chain.first.load(Ordering::Relaxed) as usize;
            let Some(change) = self.changes.get(position) else {
                break;
            };
            maker.make(&change, &guard)?;
            let next = self.next.get(position).copied().unwrap_or(NONE);
            // Ordered by the lock under which a shard is loaded.
            chain.first.store(next, Ordering::Relaxed);
            if count % PINNED == 0 {
                guard.repin();
            }
        }
        Ok(())
    }

    /// How many shards begin at `hash` or before.
    #[inline]
    fn behind(&self, hash: u64) -> usize {
        self.shards
            .partition_point(|shard| shard.first_hash <= hash)
    }
}

fn no_memory() -> Error {
    Error::memory("the log behind the index image")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::index::{BulkIndex, Location, Outcome};
    use crate::memory::epoch::Guard;
    use crate::store::segment_set::SegmentSet;
    use parking_lot::Mutex;

    /// Takes down what is asked of it, and refuses every third change once.
    #[derive(Default)]
    struct Witness {
        asked: AtomicU32,
        made: Mutex<Vec<u64>>,
    }

    impl BulkIndex for Witness {
        fn prefetch(&self, _: &Guard, _: u64) {}

        fn supersede(
            &self,
            _: &Guard,
            _: u64,
            key: &[u8],
            by: Option<Location>,
            _: u32,
            _: &mut dyn FnMut(Location) -> bool,
        ) -> Result<Outcome> {
            if self.asked.fetch_add(1, Ordering::Relaxed) % 3 == 2 {
                return Err(Error::memory("a test"));
            }
            assert_eq!(by.is_none(), key.len() % 2 == 1);
            let mut number = [0; 8];
            number.copy_from_slice(&key[..8]);
            self.made.lock().push(u64::from_le_bytes(number));
            Ok(Outcome::New)
        }
    }

    #[test]
    fn each_change_is_made_once_and_in_its_order_also_when_some_fail_at_first() {
        let firsts = [0, 1 << 62, 1 << 63];
        let shards = firsts.map(|first_hash| ShardSummary {
            first_hash,
            ..ShardSummary::default()
        });
        let mut tail = Tail::new(&shards, &Arc::default()).unwrap();
        let mut expected = [const { Vec::new() }; 3];
        for number in 0..1000_u64 {
            let hash = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let removes = number % 5 == 0;
            let mut key = number.to_le_bytes().to_vec();
            key.extend(vec![0; (number % 7 * 2) as usize + usize::from(removes)]);
            let change = Change {
                hash,
                location: Location::new(number + 1).unwrap(),
                sequence: number,
                removes,
                key: &key,
            };
            tail.push(&change).unwrap();
            expected[firsts.partition_point(|first| *first <= hash) - 1].push(number);
        }
        let segments = SegmentSet::new();
        for (shard, expected) in shards.iter().zip(expected).rev() {
            let witness = Witness::default();
            let maker = Maker {
                index: &witness,
                segments: &segments,
                location_bits: 36,
                may_know_newer: true,
                graves: None,
            };
            let mut failures = 0;
            while let Err(error) = tail.make(shard.first_hash, &maker) {
                assert_eq!(error.kind(), ErrorKind::Memory);
                failures += 1;
            }
            assert!(failures > 50);
            tail.make(shard.first_hash, &maker).unwrap();
            assert_eq!(*witness.made.lock(), expected);
        }
    }
}
