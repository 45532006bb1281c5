//! What a store tells of itself, metric by metric.

use super::text::Metric;
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
    let (counter, gauge) = (Metric::counter, Metric::gauge);
    let Stats {
        keys, index_bytes, missing_keys, key_bytes, index_idle_bytes, slab_count, slab_allocated_bytes,
        slab_live_bytes, slab_wasted_bytes, disk_bytes, dead_bytes, segments, puts, gets, deletes, syncs,
        last_sequence, durable_sequence, recovered_records, recovery_cut_bytes, recovery_damaged_spans,
        recovery_damaged_bytes, recovery_missing_segments, recovery_microseconds, recovery_way, recovery_image_fault,
        segments_from_image, segments_from_hints, segments_scanned, hints_unusable, images_written, image_failures,
        image_bytes, shards_loaded, shards_rebuilt, shards_absent, live_bytes, tombstone_bytes, dead_puts,
        written_bytes, compactions, compaction_bytes_read, compaction_bytes_written, work_bytes, memory_used_bytes,
        memory_budget_bytes, memory_refusals, memory_trims, memory_evacuations, merges_followed,
    } = *stats;
    [
        (gauge("keys", "Keys in the store"), Number(keys)),
        (gauge("index_bytes", "RAM of the index besides slabs and idle pages"), Number(index_bytes)),
        (gauge("missing_keys", "Keys that belong into memory and are not there yet"), Number(missing_keys)),
        (gauge("key_bytes", "Bytes of all keys"), Number(key_bytes)),
        (gauge("index_idle_bytes", "RAM of the index that holds nothing now"), Number(index_idle_bytes)),
        (gauge("slabs", "Pages of memory that hold keys"), Number(slab_count)),
        (gauge("slab_allocated_bytes", "Bytes of these pages"), Number(slab_allocated_bytes)),
        (gauge("slab_live_bytes", "Bytes in them that belong to keys of the store"), Number(slab_live_bytes)),
        (gauge("slab_wasted_bytes", "Bytes in them that do not"), Number(slab_wasted_bytes)),
        (gauge("disk_bytes", "Bytes of all segment files"), Number(disk_bytes)),
        (gauge("dead_bytes", "Bytes of records that no key needs any more"), Number(dead_bytes)),
        (gauge("segments", "Segment files"), Number(segments)),
        (counter("puts_total", "Successful puts"), Number(puts)),
        (counter("gets_total", "Gets and existence checks"), Number(gets)),
        (counter("deletes_total", "Deletes that removed a key"), Number(deletes)),
        (counter("syncs_total", "Syncs of segment files"), Number(syncs)),
        (gauge("last_sequence", "Sequence number of the latest write"), Number(last_sequence)),
        (gauge("durable_sequence", "Sequence number up to which everything is durable"), Number(durable_sequence)),
        (gauge("recovered_records", "Records that were found when the store was opened"), Number(recovered_records)),
        (gauge("recovery_cut_bytes", "Bytes of an unfinished write that opening cut off"), Number(recovery_cut_bytes)),
        (gauge("recovery_damaged_spans", "Damaged places that opening found and kept"), Number(recovery_damaged_spans)),
        (gauge("recovery_damaged_bytes", "Bytes of these places"), Number(recovery_damaged_bytes)),
        (gauge("recovery_missing_segments", "Segment files that should have been there and were not"), Number(recovery_missing_segments)),
        (gauge("recovery_seconds", "Time that reading the files took when the store was opened"), Millionths(recovery_microseconds)),
        (gauge("recovery_way", "How the index was brought back when the store was opened: 0 by the log, 1 by an image"), Number(recovery_way)),
        (gauge("recovery_image_fault", "Why the newest image of the index was not used, as a number of the C interface; 0 if it was"), Number(recovery_image_fault)),
        (gauge("recovery_segments_from_image", "Segment files of which the image showed everything when the store was opened"), Number(segments_from_image)),
        (gauge("recovery_merges_followed", "Merges since the image was written, whose lists of moved records were followed then"), Number(merges_followed)),
        (gauge("recovery_segments_from_hints", "Segment files of which only the hints were read then"), Number(segments_from_hints)),
        (gauge("recovery_segments_scanned", "Segment files that were read as a whole then"), Number(segments_scanned)),
        (gauge("recovery_hints_unusable", "Of these, how many had damaged hints"), Number(hints_unusable)),
        (counter("images_written_total", "Images of the index written"), Number(images_written)),
        (counter("image_failures_total", "Images that could not be written"), Number(image_failures)),
        (gauge("image_bytes", "Size of the newest image of the index"), Number(image_bytes)),
        (counter("shards_loaded_total", "Parts of the index loaded from an image"), Number(shards_loaded)),
        (counter("shards_rebuilt_total", "Of these, how many were damaged there and were rebuilt"), Number(shards_rebuilt)),
        (gauge("shards_absent", "Parts of the index that are not loaded yet"), Number(shards_absent)),
        (gauge("live_bytes", "Bytes in the segment files that the keys of the store need"), Number(live_bytes)),
        (gauge("tombstone_bytes", "Of the dead bytes, those of records that say that a key was deleted"), Number(tombstone_bytes)),
        (gauge("dead_pairs", "Superseded and deleted pairs that are still in the segment files"), Number(dead_puts)),
        (counter("written_bytes_total", "Bytes written by puts, deletes and batches"), Number(written_bytes)),
        (counter("compactions_total", "Merges of segment files"), Number(compactions)),
        (counter("compaction_read_bytes_total", "Bytes that merges read"), Number(compaction_bytes_read)),
        (counter("compaction_written_bytes_total", "Bytes that merges wrote"), Number(compaction_bytes_written)),
        (gauge("work_bytes", "RAM that compactions, and images and hints that are being written, take now in the whole process"), Number(work_bytes)),
        (gauge("memory_used_bytes", "RAM that the store has, as its budget counts it"), Number(memory_used_bytes)),
        (gauge("memory_budget_bytes", "RAM that the store may have; 0 without a limit"), Number(memory_budget_bytes)),
        (counter("memory_refusals_total", "How often something was refused for want of budget"), Number(memory_refusals)),
        (counter("memory_trims_total", "How often idle memory was given back because the budget filled up"), Number(memory_trims)),
        (counter("memory_evacuations_total", "How often the index was made smaller because the budget filled up"), Number(memory_evacuations)),
    ]
}

/// How many they are.
const COUNT: usize = 50;
