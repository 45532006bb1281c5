//! Where the bytes of an index are.

use freyja::index::IndexStatistics;

/// Slots of a bucket, its bytes, and those of the references beside it: docs/memory.md.
const SLOTS: f64 = 10.0;
const BUCKET_BYTES: f64 = 64.0;
const REFERENCES_BYTES: f64 = 32.0;

/// What [`of`] answers, in its order: bytes a key, but for the first.
pub const TITLES: [&str; 9] = [
    "load: keys / slots",
    "slots",
    "references",
    "shards, tables, lists of pages, directory",
    "lengths of keys",
    "slab bytes of no key",
    "**index and slabs, besides the key**",
    "idle pages",
    "sum",
];

/// The parts of an index with these `statistics`.
pub fn of(statistics: &IndexStatistics) -> [f64; TITLES.len()] {
    let keys = statistics.keys as f64;
    let slots = statistics.slots as f64 / keys;
    let buckets = slots / SLOTS;
    let in_memory = statistics.slab_allocated_bytes > 0;
    let references = if in_memory {
        buckets * REFERENCES_BYTES
    } else {
        0.0
    };
    let slot_bytes = buckets * BUCKET_BYTES;
    let each = |bytes: u64| bytes as f64 / keys;
    let lengths = match in_memory {
        true => each(statistics.slab_live_bytes) - each(statistics.key_bytes),
        false => 0.0,
    };
    let waste = each(statistics.slab_wasted_bytes);
    let index = each(statistics.index_bytes);
    let all = index + lengths + waste;
    let idle = each(statistics.idle_bytes);
    [
        1.0 / slots,
        slot_bytes,
        references,
        index - slot_bytes - references,
        lengths,
        waste,
        all,
        idle,
        all + idle,
    ]
}
