//! What a store tells of itself, metric by metric.

use super::text::{Kind::Counter, Kind::Gauge, Metric};
use crate::store::Stats;

/// A value of the base unit.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// As it is.
    Number(u64),
    /// In millionths.
    Millionths(u64),
}

/// All figures of `stats`, each with its metric. Taken apart field by field, so that none can be forgotten.
#[rustfmt::skip] // a table
pub fn metrics(stats: &Stats) -> [(Metric, Value); COUNT] {
    use Value::{Millionths, Number};
    let metric = |name, kind, help| Metric { name, kind, help };
    let Stats {
        keys, index_bytes, missing_keys, key_bytes, index_idle_bytes, slab_count, slab_allocated_bytes,
        slab_live_bytes, slab_wasted_bytes, disk_bytes, dead_bytes, segments, puts, gets, deletes, syncs,
        last_sequence, durable_sequence, recovered_records, recovery_cut_bytes, recovery_damaged_spans,
        recovery_damaged_bytes, recovery_missing_segments, recovery_microseconds, recovery_way, recovery_image_fault,
        segments_from_image, segments_from_hints, segments_scanned, hints_unusable, images_written, image_failures,
        image_bytes, shards_loaded, shards_rebuilt, shards_absent, live_bytes, tombstone_bytes, dead_puts,
        written_bytes, compactions, compaction_bytes_read, compaction_bytes_written, work_bytes, memory_used_bytes,
        memory_budget_bytes, memory_refusals, memory_trims, memory_evacuations,
    } = *stats;
    [
        (metric("keys", Gauge, "Keys in the store"), Number(keys)),
        (metric("index_bytes", Gauge, "RAM of the index besides slabs and idle pages"), Number(index_bytes)),
        (metric("missing_keys", Gauge, "Keys that belong into memory and are not there yet"), Number(missing_keys)),
        (metric("key_bytes", Gauge, "Bytes of all keys"), Number(key_bytes)),
        (metric("index_idle_bytes", Gauge, "RAM of the index that holds nothing now"), Number(index_idle_bytes)),
        (metric("slabs", Gauge, "Pages of memory that hold keys"), Number(slab_count)),
        (metric("slab_allocated_bytes", Gauge, "Bytes of these pages"), Number(slab_allocated_bytes)),
        (metric("slab_live_bytes", Gauge, "Bytes in them that belong to keys of the store"), Number(slab_live_bytes)),
        (metric("slab_wasted_bytes", Gauge, "Bytes in them that do not"), Number(slab_wasted_bytes)),
        (metric("disk_bytes", Gauge, "Bytes of all segment files"), Number(disk_bytes)),
        (metric("dead_bytes", Gauge, "Bytes of records that no key needs any more"), Number(dead_bytes)),
        (metric("segments", Gauge, "Segment files"), Number(segments)),
        (metric("puts_total", Counter, "Successful puts"), Number(puts)),
        (metric("gets_total", Counter, "Gets and existence checks"), Number(gets)),
        (metric("deletes_total", Counter, "Deletes that removed a key"), Number(deletes)),
        (metric("syncs_total", Counter, "Syncs of segment files"), Number(syncs)),
        (metric("last_sequence", Gauge, "Sequence number of the latest write"), Number(last_sequence)),
        (metric("durable_sequence", Gauge, "Sequence number up to which everything is durable"), Number(durable_sequence)),
        (metric("recovered_records", Gauge, "Records that were found when the store was opened"), Number(recovered_records)),
        (metric("recovery_cut_bytes", Gauge, "Bytes of an unfinished write that opening cut off"), Number(recovery_cut_bytes)),
        (metric("recovery_damaged_spans", Gauge, "Damaged places that opening found and kept"), Number(recovery_damaged_spans)),
        (metric("recovery_damaged_bytes", Gauge, "Bytes of these places"), Number(recovery_damaged_bytes)),
        (metric("recovery_missing_segments", Gauge, "Segment files that should have been there and were not"), Number(recovery_missing_segments)),
        (metric("recovery_seconds", Gauge, "Time that reading the files took when the store was opened"), Millionths(recovery_microseconds)),
        (metric("recovery_way", Gauge, "How the index was brought back when the store was opened: 0 by the log, 1 by an image"), Number(recovery_way)),
        (metric("recovery_image_fault", Gauge, "Why the newest image of the index was not used, as a number of the C interface; 0 if it was"), Number(recovery_image_fault)),
        (metric("recovery_segments_from_image", Gauge, "Segment files of which the image showed everything when the store was opened"), Number(segments_from_image)),
        (metric("recovery_segments_from_hints", Gauge, "Segment files of which only the hints were read then"), Number(segments_from_hints)),
        (metric("recovery_segments_scanned", Gauge, "Segment files that were read as a whole then"), Number(segments_scanned)),
        (metric("recovery_hints_unusable", Gauge, "Of these, how many had damaged hints"), Number(hints_unusable)),
        (metric("images_written_total", Counter, "Images of the index written"), Number(images_written)),
        (metric("image_failures_total", Counter, "Images that could not be written"), Number(image_failures)),
        (metric("image_bytes", Gauge, "Size of the newest image of the index"), Number(image_bytes)),
        (metric("shards_loaded_total", Counter, "Parts of the index loaded from an image"), Number(shards_loaded)),
        (metric("shards_rebuilt_total", Counter, "Of these, how many were damaged there and were rebuilt"), Number(shards_rebuilt)),
        (metric("shards_absent", Gauge, "Parts of the index that are not loaded yet"), Number(shards_absent)),
        (metric("live_bytes", Gauge, "Bytes in the segment files that the keys of the store need"), Number(live_bytes)),
        (metric("tombstone_bytes", Gauge, "Of the dead bytes, those of records that say that a key was deleted"), Number(tombstone_bytes)),
        (metric("dead_pairs", Gauge, "Superseded and deleted pairs that are still in the segment files"), Number(dead_puts)),
        (metric("written_bytes_total", Counter, "Bytes written by puts, deletes and batches"), Number(written_bytes)),
        (metric("compactions_total", Counter, "Merges of segment files"), Number(compactions)),
        (metric("compaction_read_bytes_total", Counter, "Bytes that merges read"), Number(compaction_bytes_read)),
        (metric("compaction_written_bytes_total", Counter, "Bytes that merges wrote"), Number(compaction_bytes_written)),
        (metric("work_bytes", Gauge, "RAM that compactions, and images and hints that are being written, take now in the whole process"), Number(work_bytes)),
        (metric("memory_used_bytes", Gauge, "RAM that the store has, as its budget counts it"), Number(memory_used_bytes)),
        (metric("memory_budget_bytes", Gauge, "RAM that the store may have; 0 without a limit"), Number(memory_budget_bytes)),
        (metric("memory_refusals_total", Counter, "How often something was refused for want of budget"), Number(memory_refusals)),
        (metric("memory_trims_total", Counter, "How often idle memory was given back because the budget filled up"), Number(memory_trims)),
        (metric("memory_evacuations_total", Counter, "How often the index was made smaller because the budget filled up"), Number(memory_evacuations)),
    ]
}

/// How many they are.
const COUNT: usize = 49;
