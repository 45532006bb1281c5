//! Buffers that are mapped one by one, registered by address.

use std::ptr::NonNull;

use parking_lot::Mutex;

use super::address_range::AddressRange;
use super::statistics::LargeStatistics;
use crate::error::{Error, Result};

/// A length is rounded up to this many bytes.
const GRANULE: usize = 4096;

/// The large buffers that callers hold.
#[derive(Default)]
pub struct LargeBuffers {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// By rising address. They are few: a megabyte each, at least.
    ranges: Vec<AddressRange>,
    statistics: LargeStatistics,
}

impl Inner {
    /// Where the range that begins at `address` is, or else would have to be put.
    fn find(&self, address: usize) -> std::result::Result<usize, usize> {
        self.ranges
            .binary_search_by_key(&address, |range| range.base().addr().get())
    }
}

impl LargeBuffers {
    /// Maps `length` bytes, at least one page.
    pub fn get(&self, length: usize) -> Result<NonNull<u8>> {
        let rounded = length
            .max(1)
            .checked_next_multiple_of(GRANULE)
            .ok_or_else(|| Error::memory("a buffer"))?;
        let range = AddressRange::usable(rounded)?;
        let address = range.base();
        let mut inner = self.inner.lock();
        inner
            .ranges
            .try_reserve(1)
            .map_err(|_| Error::memory("the register of large buffers"))?;
        let (Ok(place) | Err(place)) = inner.find(address.addr().get());
        inner.ranges.insert(place, range);
        inner.statistics.gets += 1;
        inner.statistics.in_use += 1;
        inner.statistics.bytes_in_use += rounded as u64;
        Ok(address)
    }

    /// Takes the buffer at `address` out of the register; dropping it unmaps it. `None` if none begins there.
    pub fn remove(&self, address: usize) -> Option<AddressRange> {
        let mut inner = self.inner.lock();
        let place = inner.find(address).ok()?;
        let range = inner.ranges.remove(place);
        inner.statistics.in_use -= 1;
        inner.statistics.bytes_in_use -= range.length() as u64;
        Some(range)
    }

    /// Counts of large buffers.
    pub fn statistics(&self) -> LargeStatistics {
        self.inner.lock().statistics
    }
}
