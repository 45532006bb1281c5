//! Checksums of any range of a segment at a cost that does not depend on the range's length.
//!
//! A search for the next valid record tries every multiple of sixteen bytes, and each of those places may claim to begin
//! a record of megabytes. Checking each claim over its whole length would let a crafted or merely unlucky file
//! cost time that grows with the square of its size. A CRC is linear, so the checksum of a range follows from the
//! checksums of two prefixes (Adler's `crc32_combine` in zlib): with `P(x)` the CRC-32 of everything from a fixed origin up to
//! `x`, the CRC-32 of `a..b` started from `init` is `combine(init ^ P(a), P(b), b - a)`. The index keeps `P` for
//! every block of 4096 bytes, built only as far as it is asked for, so that `P(x)` costs less than one block.

use crc32fast::Hasher;

use crate::error::{Error, Result};
use crate::log::byte_source::{ASIDE_LEN, ByteSource};

const BLOCK_LEN: u64 = ASIDE_LEN as u64;

/// Prefix checksums of a segment from an origin on: four bytes for every 4096.
pub struct ChecksumIndex {
    origin: u64,
    /// `prefixes[n]` is the CRC-32 of the `n` blocks that begin at the origin.
    prefixes: Vec<u32>,
}

impl ChecksumIndex {
    /// An index for ranges that begin at `origin` or later.
    pub fn new(origin: u64) -> Self {
        Self {
            origin,
            prefixes: Vec::new(),
        }
    }

    /// The CRC-32, started from `initial`, of the bytes `start..end` of `source`, which are not empty and lie between
    /// the index's origin and the end of the source.
    pub fn checksum(
        &mut self,
        source: &mut ByteSource<'_>,
        initial: u32,
        start: u64,
        end: u64,
    ) -> Result<u32> {
        let before = self.prefix(source, start)?;
        let whole = self.prefix(source, end)?;
        let mut hasher = Hasher::new_with_initial(initial ^ before);
        hasher.combine(&Hasher::new_with_initial_len(whole, end - start));
        Ok(hasher.finalize())
    }

    // The CRC-32 of the bytes from the origin to `end`.
    fn prefix(&mut self, source: &mut ByteSource<'_>, end: u64) -> Result<u32> {
        let blocks = ((end - self.origin) / BLOCK_LEN) as usize;
        if blocks >= self.prefixes.len() {
            self.extend(source, blocks)?;
        }
        let rest = self.origin + blocks as u64 * BLOCK_LEN;
        let bytes = source.bytes_aside(rest, (end - rest) as usize)?;
        let mut hasher = Hasher::new_with_initial(self.prefixes[blocks]);
        hasher.update(bytes);
        Ok(hasher.finalize())
    }

    fn extend(&mut self, source: &mut ByteSource<'_>, blocks: usize) -> Result<()> {
        let missing = blocks + 1 - self.prefixes.len();
        self.prefixes
            .try_reserve(missing)
            .map_err(|_| Error::memory("searching a damaged segment"))?;
        if self.prefixes.is_empty() {
            self.prefixes.push(0);
        }
        while self.prefixes.len() <= blocks {
            let done = self.prefixes.len() - 1;
            let block =
                source.bytes_aside(self.origin + done as u64 * BLOCK_LEN, BLOCK_LEN as usize)?;
            let mut hasher = Hasher::new_with_initial(self.prefixes[done]);
            hasher.update(block);
            self.prefixes.push(hasher.finalize());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::record::ALIGNMENT;
    use crate::log::test_files::{TestDisk, WAYS, header, put};
    use crate::log::test_random::Random;

    #[test]
    fn every_range_has_the_checksum_that_reading_it_gives() {
        for way in WAYS {
            let disk = TestDisk::new(way);
            let mut random = Random::new(21);
            let (mut writer, segment) = disk.create(&header(), 1 << 20, way).unwrap();
            writer
                .append(&put(100, b"key", &random.bytes(30_000)))
                .unwrap();
            let bytes = disk.read(segment.path());
            let mut source = ByteSource::new(&segment, u64::MAX).unwrap();
            let origin = 10 * ALIGNMENT;
            let mut index = ChecksumIndex::new(origin);
            for _ in 0..2000 {
                let start = origin + random.below(source.end() - origin);
                let end = start + 1 + random.below(source.end() - start);
                let initial = random.next() as u32;
                let mut hasher = Hasher::new_with_initial(initial);
                hasher.update(&bytes[start as usize..end as usize]);
                let found = index.checksum(&mut source, initial, start, end).unwrap();
                assert_eq!(found, hasher.finalize(), "{start}..{end}");
            }
        }
    }
}
