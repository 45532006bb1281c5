//! From where the records of an output come, in some three bytes each.

use std::sync::Arc;

use crate::error::Result;
use crate::log::record::ALIGNMENT;
use crate::log::varint;
use crate::memory::budget::MemoryBudget;
use crate::memory::scratch::Scratch;

/// A list of places in the segments that are merged. In each of these the places rise.
pub struct Moves {
    bytes: Scratch,
    last: Vec<u64>,
}

impl Moves {
    /// An empty list of places in `victims` segments, which takes its memory from `budget`.
    pub fn new(victims: usize, budget: Arc<MemoryBudget>) -> Self {
        Self {
            bytes: Scratch::within(budget),
            last: vec![0; victims],
        }
    }

    /// Adds byte `offset` of the segment number `victim`. Errors: `Memory`.
    pub fn push(&mut self, victim: usize, offset: u64) -> Result<()> {
        let mut numbers = [0; 2 * varint::MAX_LEN];
        let mut len = 0;
        varint::write(&mut numbers, &mut len, victim as u64);
        let distance = (offset - self.last[victim]) / ALIGNMENT;
        varint::write(&mut numbers, &mut len, distance);
        self.bytes
            .append(&numbers[..len], "the moves of a compaction")?;
        self.last[victim] = offset;
        Ok(())
    }

    /// The places, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let mut last = vec![0; self.last.len()];
        let mut position = 0;
        std::iter::from_fn(move || {
            let victim = varint::read(&self.bytes, &mut position)? as usize;
            let distance = varint::read(&self.bytes, &mut position)?;
            let offset: &mut u64 = last.get_mut(victim)?;
            *offset += distance * ALIGNMENT;
            Some((victim, *offset))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_back_as_added_in_about_three_bytes_each() {
        let mut moves = Moves::new(3, Arc::default());
        let places: Vec<_> = (1..1000_u64)
            .map(|number| ((number % 3) as usize, 128 + number * 144))
            .collect();
        for (victim, offset) in &places {
            moves.push(*victim, *offset).unwrap();
        }
        assert!(moves.iter().eq(places.iter().copied()));
        assert!(moves.bytes.len() <= 3 * places.len());
    }
}
