//! A segment's bytes for reading from front to back: from the mapping, or through a window over the file.

use crate::error::{Error, Result};
use crate::log::segment::Segment;

/// Most bytes that one call of [`ByteSource::bytes`] gives.
pub const WINDOW_LEN: usize = 1 << 20;
/// Most bytes that one call of [`ByteSource::bytes_aside`] gives.
pub const ASIDE_LEN: usize = 4096;

/// Gives the bytes of a segment below an end that is fixed when the source is made.
pub struct ByteSource<'s> {
    segment: &'s Segment,
    mapped: Option<&'s [u8]>,
    end: u64,
    window: Vec<u8>,
    window_start: u64,
    aside: Vec<u8>,
}

impl<'s> ByteSource<'s> {
    /// A source of the bytes of `segment` that are readable now, up to `end` at most.
    pub fn new(segment: &'s Segment, end: u64) -> Result<Self> {
        let mapped = segment.mapped_bytes();
        let readable = mapped.map_or_else(|| segment.readable_end(), |bytes| bytes.len() as u64);
        let end = end.min(readable);
        let mut source = Self {
            segment,
            mapped,
            end,
            window: Vec::new(),
            window_start: 0,
            aside: Vec::new(),
        };
        if mapped.is_none() {
            reserve(&mut source.window, end.min(WINDOW_LEN as u64) as usize)?;
            reserve(&mut source.aside, ASIDE_LEN)?;
        }
        Ok(source)
    }

    /// End of the bytes, from the beginning of the file.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// `len` bytes, at most [`WINDOW_LEN`], from `offset`, or fewer where the end comes first.
    #[inline]
    pub fn bytes(&mut self, offset: u64, len: usize) -> Result<&[u8]> {
        let len = self.len_before_end(offset, len.min(WINDOW_LEN));
        if let Some(mapped) = self.mapped {
            return Ok(slice(mapped, offset, len));
        }
        let window_end = self.window_start + self.window.len() as u64;
        if len == 0 {
            return Ok(&[]);
        }
        if offset < self.window_start || offset + len as u64 > window_end {
            self.fill_window(offset)?;
        }
        Ok(slice(&self.window, offset - self.window_start, len))
    }

    /// As [`Self::bytes`], for at most [`ASIDE_LEN`] bytes that lie elsewhere than where the reading goes on.
    pub fn bytes_aside(&mut self, offset: u64, len: usize) -> Result<&[u8]> {
        let len = self.len_before_end(offset, len.min(ASIDE_LEN));
        if let Some(mapped) = self.mapped {
            return Ok(slice(mapped, offset, len));
        }
        self.aside.resize(len, 0);
        self.segment.read_exact_at(&mut self.aside, offset)?;
        Ok(&self.aside)
    }

    /// Where the zeros begin that stand at the end of the bytes.
    pub fn zeros_at_end(&mut self) -> Result<u64> {
        let mut end = self.end;
        while end > 0 {
            let len = end.min(ASIDE_LEN as u64);
            let piece = self.bytes_aside(end - len, len as usize)?;
            if let Some(position) = last_nonzero(piece) {
                return Ok(end - len + position as u64 + 1);
            }
            end -= len;
        }
        Ok(0)
    }

    fn len_before_end(&self, offset: u64, len: usize) -> usize {
        self.end.saturating_sub(offset).min(len as u64) as usize
    }

    fn fill_window(&mut self, offset: u64) -> Result<()> {
        let len = self.len_before_end(offset, WINDOW_LEN);
        // Nothing of the old window may pass for the new one if the read fails.
        self.window.clear();
        self.window_start = offset;
        self.window.resize(len, 0);
        let read = self.segment.read_exact_at(&mut self.window, offset);
        if read.is_err() {
            self.window.clear();
        }
        read
    }
}

fn reserve(bytes: &mut Vec<u8>, len: usize) -> Result<()> {
    bytes
        .try_reserve_exact(len)
        .map_err(|_| Error::memory("reading a segment"))
}

// Callers have checked the range against the end.
#[inline]
fn slice(bytes: &[u8], offset: u64, len: usize) -> &[u8] {
    if len == 0 {
        return &[];
    }
    &bytes[offset as usize..offset as usize + len]
}

fn last_nonzero(bytes: &[u8]) -> Option<usize> {
    const BLOCK: usize = 64;
    // Whole blocks first: the comparison of a block is a few instructions.
    let blocks = bytes
        .rchunks_exact(BLOCK)
        .take_while(|block| **block == [0; BLOCK]);
    let rest = &bytes[..bytes.len() - blocks.count() * BLOCK];
    rest.iter().rposition(|&byte| byte != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_byte_that_is_not_zero_is_found_wherever_it_is() {
        for len in [0, 1, 63, 64, 65, 300] {
            assert_eq!(last_nonzero(&vec![0; len]), None);
            for position in 0..len {
                let mut bytes = vec![0; len];
                bytes[0] = 1;
                bytes[position] = 1;
                assert_eq!(last_nonzero(&bytes), Some(position));
            }
        }
    }
}
