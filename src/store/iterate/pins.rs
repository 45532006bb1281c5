//! Segments that stay readable until a pass is over.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::index::Location;
use crate::memory::epoch::Guard;
use crate::store::live_segment::LiveSegment;
use crate::store::segment_set::{SegmentSet, chunk_of};

/// The segments that some locations lie in, by rising locations.
#[derive(Default)]
pub struct Pins {
    pins: Vec<Pin>,
}

struct Pin {
    /// The last chunk of the location space in which the segment has one of the locations.
    last_chunk: u64,
    live: Arc<LiveSegment>,
}

/// A place among pins, for locations that rise.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reach(usize);

impl Pins {
    /// Pins the segments of `locations`, which were read from the index under `guard` and rise from chunk to chunk: what was
    /// removed since can be looked up as long as the guard lives, and is not reused.
    pub fn pin(&mut self, locations: &[u64], segments: &SegmentSet, guard: &Guard) -> Result<()> {
        self.pins.clear();
        let mut known_chunk = None;
        for location in locations.iter().filter_map(|raw| Location::new(*raw)) {
            let chunk = chunk_of(location);
            if known_chunk.replace(chunk) == Some(chunk) {
                continue;
            }
            let Some(live) = segments.share(location, guard) else {
                continue;
            };
            match self.pins.last_mut() {
                Some(pin) if Arc::ptr_eq(&pin.live.usage, &live.usage) => pin.last_chunk = chunk,
                _ => {
                    let reserved = self.pins.try_reserve(1);
                    reserved.map_err(|_| Error::memory("an iterator's list of segments"))?;
                    self.pins.push(Pin {
                        last_chunk: chunk,
                        live,
                    });
                }
            }
        }
        Ok(())
    }

    /// The segment of `location`, one of those pinned, not before the one that `reach` was used for last.
    #[inline]
    pub fn find(&self, location: Location, reach: &mut Reach) -> Option<&Arc<LiveSegment>> {
        let chunk = chunk_of(location);
        while self.pins.get(reach.0)?.last_chunk < chunk {
            reach.0 += 1;
        }
        let pin = self.pins.get(reach.0)?;
        (u64::from(pin.live.first_chunk()) <= chunk).then_some(&pin.live)
    }
}
