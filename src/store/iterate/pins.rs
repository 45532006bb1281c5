//! Segments that stay readable until a pass is over.

use std::sync::Arc;

use super::places::Places;
use crate::error::{Error, Result};
use crate::memory::epoch::Guard;
use crate::store::live_segment::LiveSegment;
use crate::store::segment_set::{CHUNK_BITS, SegmentSet, UNIT, chunk_of};

/// The segments of some places, in the order of these.
#[derive(Default)]
pub struct Pins {
    pins: Vec<Pin>,
}

struct Pin {
    live: Arc<LiveSegment>,
    /// The last chunk of the location space in which one of the places is the segment's.
    last_chunk: u64,
}

impl Pins {
    /// Pins the segments of `places`, which were read from the index under `guard`: what was removed since can be looked up
    /// as long as the guard lives, and nothing else takes its place.
    pub fn pin(&mut self, places: &Places, segments: &SegmentSet, guard: &Guard) -> Result<()> {
        self.clear();
        places.for_each_piece(CHUNK_BITS, |location| {
            // Every location of the index lies in a segment.
            let Some(live) = segments.share(location, guard) else {
                return Ok(());
            };
            let last_chunk = chunk_of(location);
            match self.pins.last_mut() {
                Some(pin) if pin.live.segment.id() == live.segment.id() => {
                    pin.last_chunk = last_chunk;
                }
                _ => {
                    let reserved = self.pins.try_reserve(1);
                    reserved.map_err(|_| Error::memory("an iterator's list of segments"))?;
                    self.pins.push(Pin { live, last_chunk });
                }
            }
            Ok(())
        })
    }

    /// The segment of the first of `locations`, which come in the order of the places, and how many of them it has. `number`
    /// is where to look first, and what was found.
    pub fn find(
        &self,
        locations: &[u64],
        number: &mut usize,
    ) -> Option<(&Arc<LiveSegment>, usize)> {
        let chunk = |raw: &u64| raw >> CHUNK_BITS;
        let first = chunk(locations.first()?);
        while self.pins.get(*number)?.last_chunk < first {
            *number += 1;
        }
        let pin = self.pins.get(*number)?;
        if u64::from(pin.live.first_chunk()) > first {
            return None;
        }
        let is_own = |raw: &u64| chunk(raw) <= pin.last_chunk;
        let count = match locations.last().is_some_and(is_own) {
            true => locations.len(),
            false => locations.partition_point(is_own),
        };
        Some((&pin.live, count))
    }

    /// Lets go of all segments.
    pub fn clear(&mut self) {
        self.pins.clear();
    }
}

impl LiveSegment {
    /// The byte offset in this segment that the number `raw` of a location, one of its own, stands for.
    #[inline]
    pub(super) fn offset_of(&self, raw: u64) -> u64 {
        // For no location of its own that lies far beyond its end, where nothing is read.
        raw.wrapping_sub(u64::from(self.first_chunk()) << CHUNK_BITS)
            .wrapping_mul(UNIT)
    }
}
