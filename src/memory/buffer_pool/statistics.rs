//! What went through the pool.

/// Counts of one size class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassStatistics {
    /// Bytes of a buffer.
    pub size: usize,
    /// Buffers handed out so far.
    pub gets: u64,
    /// Of these, how many came from a cache.
    pub hits: u64,
    /// Buffers that callers hold.
    pub in_use: u64,
    /// Buffers that wait in caches.
    pub cached: u64,
}

impl ClassStatistics {
    /// Buffers that did not come from a cache.
    pub fn misses(&self) -> u64 {
        self.gets - self.hits
    }
}

/// Counts of the buffers that were mapped one by one, because no class holds their length or the pool's
/// address range is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LargeStatistics {
    /// Buffers handed out so far.
    pub gets: u64,
    /// Buffers that callers hold.
    pub in_use: u64,
    /// Bytes mapped for them.
    pub bytes_in_use: u64,
}

/// A snapshot of the pool. While other threads use the pool, counts of different classes are of slightly
/// different moments, but none is ever negative or above what happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// The classes that have been used, by rising size.
    pub classes: Vec<ClassStatistics>,
    /// Large buffers.
    pub large: LargeStatistics,
    /// Addresses that were to be released and were none of a buffer in use.
    pub refused: u64,
    /// Bytes of addresses that classes have taken so far; memory is behind at most these.
    pub span_bytes: u64,
}

impl Statistics {
    /// Buffers handed out so far.
    pub fn gets(&self) -> u64 {
        self.large.gets + self.classes.iter().map(|class| class.gets).sum::<u64>()
    }

    /// Buffers that came from a cache.
    pub fn hits(&self) -> u64 {
        self.classes.iter().map(|class| class.hits).sum()
    }

    /// Buffers that callers hold.
    pub fn in_use(&self) -> u64 {
        self.large.in_use + self.classes.iter().map(|class| class.in_use).sum::<u64>()
    }
}
