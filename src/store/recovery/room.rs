//! Whether the index of a store has room in the memory budget, and what an open says if it has not.

use crate::error::{Error, ErrorKind};
use crate::memory::budget::MemoryBudget;
use crate::memory::page_arena::PAGE_BYTES;
use crate::store::image::Image;
use crate::store::options::{KeyStorage, Options};

/// What a key takes in the index, in thousandths of a byte, in the mean, and with keys in memory besides the key:
/// docs/memory.md.
const ON_DISK: u64 = 6_950;
const IN_MEMORY: u64 = 11_700;

/// What it takes at least, in thousandths of that: shards that are about to grow are fuller than the mean.
const LEAST_PART: u64 = 930;

/// What a shard takes besides pages, about.
const SHARD_BYTES: u64 = 640;

/// What an index takes, in bytes.
#[derive(Clone, Copy)]
pub struct Needed {
    on_disk: u64,
    in_memory: u64,
    /// In thousandths of that, what it takes at least.
    least_part: u64,
}

impl Needed {
    /// What the index takes of which `image` is one.
    pub fn by_image(image: &Image, options: &Options) -> Self {
        let mut needed = Self {
            on_disk: 0,
            in_memory: 0,
            least_part: 1000,
        };
        let mut key_bytes = 0_u64;
        for shard in &image.directory.shards {
            // Whole pages of buckets, with a head and a few homes besides.
            let page = PAGE_BYTES as u64;
            let pages = (shard.length / page).max(1) * page;
            needed.on_disk += pages + SHARD_BYTES;
            let slab = shard.summary.keys + options.slab_size / 2;
            needed.in_memory += pages + pages / 2 + SHARD_BYTES + slab;
            key_bytes = key_bytes.wrapping_add(shard.summary.key_bytes);
        }
        needed.in_memory = needed.in_memory.saturating_add(key_bytes);
        needed
    }

    /// What an index of so many keys takes, which have so many bytes.
    pub fn by_keys(keys: u64, key_bytes: u64) -> Self {
        let all = |thousandths: u64| keys.saturating_mul(thousandths) / 1000;
        Self {
            on_disk: all(ON_DISK),
            in_memory: all(IN_MEMORY).saturating_add(key_bytes),
            least_part: LEAST_PART,
        }
    }

    fn with(&self, key_storage: KeyStorage) -> u64 {
        match key_storage {
            KeyStorage::OnDisk => self.on_disk,
            KeyStorage::InMemory => self.in_memory,
        }
    }

    /// Says that it does not fit, if it does not.
    ///
    /// # Errors
    /// `Memory`, with both figures.
    pub fn check(&self, budget: &MemoryBudget, options: &Options) -> Result<(), Error> {
        let needed = u128::from(self.with(options.key_storage));
        let needed = (needed * u128::from(self.least_part) / 1000) as u64;
        let (Some(limit), Some(growth)) = (budget.limit(), budget.growth_limit()) else {
            return Ok(());
        };
        // What grew up to its limit may take a little more when it is loaded.
        match budget.used().saturating_add(needed) > growth.midpoint(limit) {
            true => Err(self.refusal(budget, options)),
            false => Ok(()),
        }
    }

    /// The answer of an open for which there is too little.
    pub fn refusal(&self, budget: &MemoryBudget, options: &Options) -> Error {
        let (limit, growth) = (budget.limit(), budget.growth_limit());
        let (limit, growth) = (limit.unwrap_or(u64::MAX), growth.unwrap_or(u64::MAX));
        // What is not the index: fixed costs, and what is kept free.
        let besides = limit - growth + FIXED;
        let total = |bytes: u64| bytes.saturating_add(besides);
        let needed = total(self.with(options.key_storage)).max(limit.saturating_add(1));
        let mut message = format!(
            "opening this store takes about {needed} bytes of memory, and the memory budget is {limit}: raise it"
        );
        if options.key_storage == KeyStorage::InMemory && total(self.on_disk) <= limit {
            message += &format!(
                ", or open with keys on disk (FREYJA_KEYS_ON_DISK), which takes about {}",
                total(self.on_disk)
            );
        }
        Error::new(ErrorKind::Memory, message)
    }
}

const FIXED: u64 = crate::store::memory_limit::MOST_FIXED_BYTES as u64;

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(keys: u64, key_storage: KeyStorage, budget: u64) -> Option<String> {
        let options = Options {
            key_storage,
            ..Options::default()
        };
        let needed = Needed::by_keys(keys, keys * 100);
        let checked = needed.check(&MemoryBudget::new(budget), &options);
        checked.err().map(|error| error.message().to_owned())
    }

    #[test]
    fn a_store_that_would_fit_with_keys_on_disk_is_told_so() {
        let message = refusal(100_000, KeyStorage::InMemory, 4 << 20).unwrap();
        assert!(message.contains("4194304"), "{message}");
        assert!(message.contains("FREYJA_KEYS_ON_DISK"), "{message}");
        assert_eq!(refusal(100_000, KeyStorage::OnDisk, 4 << 20), None);
    }

    #[test]
    fn a_store_that_fits_neither_way_is_not_told_to_keep_keys_on_disk() {
        for key_storage in [KeyStorage::InMemory, KeyStorage::OnDisk] {
            let message = refusal(10_000_000, key_storage, 4 << 20).unwrap();
            assert!(!message.contains("FREYJA_KEYS_ON_DISK"), "{message}");
        }
    }

    #[test]
    fn what_fits_is_not_refused() {
        assert_eq!(refusal(10_000, KeyStorage::InMemory, 4 << 20), None);
        assert_eq!(refusal(u64::MAX / 1000, KeyStorage::InMemory, 0), None);
    }
}
