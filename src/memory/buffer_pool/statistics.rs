//! What went through the pool.

use super::size_class::MOST_CLASSES;

/// Counts of one size class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassStatistics {
    /// Bytes of a buffer.
    pub size: usize,
    /// Buffers handed out so far.
    pub gets: u64,
    /// Of these, how many came from the magazine of the thread.
    pub hits: u64,
    /// Buffers that callers hold.
    pub in_use: u64,
    /// Buffers that wait in magazines.
    pub pooled: u64,
}

impl ClassStatistics {
    /// Buffers that did not come from a magazine.
    pub fn misses(&self) -> u64 {
        self.gets - self.hits
    }
}

/// Counts of the buffers that are extents of regions, because no class holds their length or the pool's address range is used
/// up, and of these regions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LargeStatistics {
    /// Buffers handed out so far.
    pub gets: u64,
    /// Of these, how many had all their memory from earlier ones.
    pub hits: u64,
    /// Buffers that callers hold.
    pub in_use: u64,
    /// Their bytes, whole pages.
    pub bytes_in_use: u64,
    /// Free extents whose memory waits for its next use.
    pub pooled: u64,
    /// Bytes of addresses that regions have.
    pub mapped_bytes: u64,
    /// Bytes of memory that wait in free extents.
    pub idle_bytes: u64,
    /// Free neighbours that buffers had when they were released.
    pub free_neighbours: u64,
    /// Of these, how many became one free extent with the buffer: all but those in another region.
    pub coalesced: u64,
}

impl LargeStatistics {
    /// Which part of the memory of regions holds nothing, from 0 to 1: 1 − bytes in use ÷ (bytes in use + idle bytes).
    pub fn fragmentation(&self) -> f64 {
        let resident = self.bytes_in_use + self.idle_bytes;
        match resident {
            0 => 0.0,
            resident => self.idle_bytes as f64 / resident as f64,
        }
    }
}

/// A snapshot of the pool. While other threads use the pool, counts of different classes are of slightly
/// different moments, but none is ever negative or above what happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistics {
    pub(super) classes: [ClassStatistics; MOST_CLASSES],
    pub(super) count: usize,
    /// Large buffers.
    pub large: LargeStatistics,
    /// Requests for more than the largest class holds.
    pub oversize: u64,
    /// Addresses that were to be released and were none of a buffer in use.
    pub refused: u64,
    /// Bytes of addresses that classes have taken so far; memory is behind at most these.
    pub span_bytes: u64,
    /// Bytes that wait for their next use: room of magazines, empty spans that keep their memory, large buffers.
    pub idle_bytes: u64,
    /// Bytes that may wait at most.
    pub idle_limit: u64,
    /// Threads that have magazines.
    pub threads: u64,
}

impl Statistics {
    /// The classes, by rising size.
    pub fn classes(&self) -> &[ClassStatistics] {
        &self.classes[..self.count]
    }

    /// Buffers handed out so far.
    pub fn gets(&self) -> u64 {
        self.large.gets + self.sum(|class| class.gets)
    }

    /// Buffers that had waited in the pool.
    pub fn hits(&self) -> u64 {
        self.large.hits + self.sum(|class| class.hits)
    }

    /// Buffers that callers hold.
    pub fn in_use(&self) -> u64 {
        self.large.in_use + self.sum(|class| class.in_use)
    }

    /// Buffers that wait in magazines, and large ones that wait.
    pub fn pooled(&self) -> u64 {
        self.large.pooled + self.sum(|class| class.pooled)
    }

    fn sum(&self, count: impl Fn(&ClassStatistics) -> u64) -> u64 {
        self.classes().iter().map(count).sum()
    }
}
