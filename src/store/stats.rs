//! What a store tells about itself.

/// Figures of an open store. Counters count from the opening; sizes are in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Keys present.
    pub keys: u64,
    /// RAM of the index besides the key slabs: tables, directory, shard descriptors.
    pub index_bytes: u64,
    /// Of these, how many belong into memory and are not there yet: a store opened from an image brings them in later.
    pub missing_keys: u64,
    /// Bytes of all present keys.
    pub key_bytes: u64,
    /// RAM of the index that holds nothing now: freed pages that are kept for reuse, and replaced tables that a reader may
    /// still see. Not part of the figures above and below, which with this make up the index's RAM.
    pub index_idle_bytes: u64,
    /// Pages of key bytes.
    pub slab_count: u64,
    /// RAM taken by those pages.
    pub slab_allocated_bytes: u64,
    /// Bytes in them that belong to present keys, with their length prefixes.
    pub slab_live_bytes: u64,
    /// Bytes in them that do not: dead keys and unused ends of pages.
    pub slab_wasted_bytes: u64,
    /// Size of all segment files, with what is preallocated for coming writes.
    pub disk_bytes: u64,
    /// Bytes on disk of superseded and deleted records and of tombstones.
    pub dead_bytes: u64,
    /// Segment files.
    pub segments: u64,
    /// Successful puts.
    pub puts: u64,
    /// Gets and existence checks, whatever they found.
    pub gets: u64,
    /// Deletes that removed a key.
    pub deletes: u64,
    /// Syncs of log data.
    pub syncs: u64,
    /// Sequence number of the newest write.
    pub last_sequence: u64,
    /// Every write up to this sequence number is known to be durable.
    pub durable_sequence: u64,
    /// Puts and deletes read back from the log when the store was opened.
    pub recovered_records: u64,
    /// Bytes of torn tail that opening cut off.
    pub recovery_cut_bytes: u64,
    /// Damaged spans found when the store was opened; the first is what `failure` tells.
    pub recovery_damaged_spans: u64,
    /// Bytes in damaged spans.
    pub recovery_damaged_bytes: u64,
    /// Segment files that should be there and are not.
    pub recovery_missing_segments: u64,
    /// Time that reading back the log took, in microseconds.
    pub recovery_microseconds: u64,
    /// How the index was brought back when the store was opened: a [`super::RecoveryWay`] as a number.
    pub recovery_way: u64,
    /// Why no image of the index, or not the newest, was used: a [`super::ImageFault`] as a number.
    pub recovery_image_fault: u64,
    /// Segments of which the image showed everything when the store was opened, also after following what merges had moved.
    pub segments_from_image: u64,
    /// Segments of which the hints were read then, instead of the records.
    pub segments_from_hints: u64,
    /// Segments of which every record was read then.
    pub segments_scanned: u64,
    /// Segments, among those scanned, whose hints were damaged or could not be read.
    pub hints_unusable: u64,
    /// Images of the index written.
    pub images_written: u64,
    /// Images that could not be written, which costs time at the next open and nothing else.
    pub image_failures: u64,
    /// Size of the newest image of the index; 0 if none is in use. Not part of `disk_bytes`.
    pub image_bytes: u64,
    /// Parts of the index loaded from an image.
    pub shards_loaded: u64,
    /// Of these, how many were damaged in the image and were rebuilt from the log.
    pub shards_rebuilt: u64,
    /// Parts of the index that are not loaded yet. While there are any, the figures about keys and dead bytes leave out what
    /// was written after the image.
    pub shards_absent: u64,
    /// Bytes in the segments up to the last record of each, less those of dead records. `disk_bytes` over this is the space
    /// amplification.
    pub live_bytes: u64,
    /// Of the dead bytes, those of tombstones.
    pub tombstone_bytes: u64,
    /// Superseded and deleted puts that are still in the segments.
    pub dead_puts: u64,
    /// Bytes of records written by puts, deletes and batches. With `compaction_bytes_written` over this, that is one more, is
    /// the write amplification.
    pub written_bytes: u64,
    /// Merges of segments.
    pub compactions: u64,
    /// Bytes of records that they read.
    pub compaction_bytes_read: u64,
    /// Bytes of the segments that they wrote.
    pub compaction_bytes_written: u64,
    /// RAM that lists of compactions, and images and hints that are being written, take now: in all stores of this process.
    pub work_bytes: u64,
    /// All bytes of memory that the store has, as its budget counts them, with a fixed number of them for what there is whatever is
    /// stored.
    pub memory_used_bytes: u64,
    /// How much it may have; 0 without a limit.
    pub memory_budget_bytes: u64,
    /// How often something was refused because it may not have more.
    pub memory_refusals: u64,
    /// How often what waited for its next use was given back because the budget filled up.
    pub memory_trims: u64,
    /// How often the index was made smaller for that reason where keys had gone.
    pub memory_evacuations: u64,
    /// Merges since the image was written whose lists of moved records were followed when the store was opened.
    pub merges_followed: u64,
}
