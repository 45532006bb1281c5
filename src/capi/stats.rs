//! Statistics of a store.
#![allow(unsafe_code)]

use std::ffi::c_int;

use super::database::reading;
use super::db::freyja_db;
use super::pinned;
use super::status::freyja_status::*;
use super::structs::{Growing, Place};
use crate::memory::batch_arena;
use crate::memory::buffer_pool::process_pool_if_any;
use crate::store::{ImageFault, RecoveryWay, Stats};
use freyja_image_fault::*;
use freyja_recovery_way::*;

/// Counts of a store. While other threads write, the fields may be of slightly different moments.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct freyja_stats_t {
    /// Bytes of this struct that the library knows: fields beyond are 0.
    pub struct_size: u32,
    /// Always 0.
    pub reserved: u32,
    /// Keys in the store.
    pub keys: u64,
    /// Bytes of memory that the index takes besides the slabs below.
    pub index_bytes: u64,
    /// Bytes of all keys in the store.
    pub key_bytes: u64,
    /// Slabs: pages of memory that hold keys.
    pub slab_count: u64,
    /// Bytes of the slabs.
    pub slab_allocated_bytes: u64,
    /// Bytes of the slabs that keys of the store take.
    pub slab_live_bytes: u64,
    /// Bytes of the slabs that are unused or taken by removed keys, until they are reclaimed.
    pub slab_wasted_bytes: u64,
    /// Bytes of all segment files, with what is allocated in advance.
    pub disk_bytes: u64,
    /// Bytes of records in the files that no key needs any more.
    pub dead_bytes: u64,
    /// Segment files.
    pub segments: u64,
    /// Successful puts since the store was opened.
    pub puts: u64,
    /// Gets and existence checks since the store was opened.
    pub gets: u64,
    /// Deletes that removed a key since the store was opened.
    pub deletes: u64,
    /// Syncs of segment files since the store was opened.
    pub syncs: u64,
    /// Sequence number of the latest write.
    pub last_sequence: u64,
    /// Sequence number up to which everything is durable.
    pub durable_sequence: u64,
    /// Records that were found when the store was opened.
    pub recovered_records: u64,
    /// Bytes of an unfinished write that opening cut off.
    pub recovery_cut_bytes: u64,
    /// Damaged places that opening found and kept.
    pub recovery_damaged_spans: u64,
    /// Bytes of these places.
    pub recovery_damaged_bytes: u64,
    /// Segment files that should have been there and were not.
    pub recovery_missing_segments: u64,
    /// Time that reading the files took when the store was opened, in microseconds.
    pub recovery_microseconds: u64,
    /// Buffers handed out by freyja_get and not freed yet, and blocks of batches, in the whole process.
    pub buffers_in_use: u64,
    /// Buffers handed out so far, in the whole process.
    pub buffer_gets: u64,
    /// Of these, how many came from a cache.
    pub buffer_hits: u64,
    /// Pointers that freyja_free_buf refused so far, in the whole process.
    pub buffers_refused: u64,
    /// How the index was brought back when the store was opened: FREYJA_RECOVERED_BY_SCAN or
    /// FREYJA_RECOVERED_BY_IMAGE.
    pub recovery_way: u64,
    /// Why the newest image of the index was not used: a value of freyja_image_fault.
    pub recovery_image_fault: u64,
    /// Images of the index written since the store was opened.
    pub images_written: u64,
    /// Images that could not be written, which costs time at the next open and nothing else.
    pub image_failures: u64,
    /// Parts of the index loaded from an image.
    pub shards_loaded: u64,
    /// Of these, how many were damaged there and were rebuilt from the segment files.
    pub shards_rebuilt: u64,
    /// With FREYJA_KEYS_IN_MEMORY: keys that are not in memory yet, because an image of the index holds none.
    pub missing_keys: u64,
    /// Parts of the index that are not loaded yet. While there are any, keys, key_bytes and dead_bytes leave out what
    /// was written after the image.
    pub shards_absent: u64,
    /// Segment files of which the image showed everything when the store was opened.
    pub segments_from_image: u64,
    /// Segment files of which only the hints were read then. Damage to the records is told to who reads them.
    pub segments_from_hints: u64,
    /// Segment files that were read as a whole then.
    pub segments_scanned: u64,
    /// Of these, how many had hints that were damaged or could not be read, which costs time and nothing else.
    pub hints_unusable: u64,
    /// Size of the newest image of the index; 0 if none is in use. Not part of disk_bytes.
    pub image_bytes: u64,
    /// RAM of the index that holds nothing now: freed pages that are kept for reuse, and replaced tables that a reader
    /// may still see. With index_bytes and slab_allocated_bytes it makes up the index's RAM.
    pub index_idle_bytes: u64,
    /// Bytes in the segment files that the keys of the store need. disk_bytes over this is the space amplification.
    pub live_bytes: u64,
    /// Of dead_bytes, those of records that say that a key was deleted, which go when nothing older is left.
    pub tombstone_bytes: u64,
    /// Superseded and deleted pairs that are still in the segment files.
    pub dead_pairs: u64,
    /// Bytes written by puts, deletes and batches since the store was opened. What compaction wrote over this, and one more,
    /// is the write amplification.
    pub written_bytes: u64,
    /// Merges of segment files since the store was opened.
    pub compactions: u64,
    /// Bytes that they read.
    pub compaction_bytes_read: u64,
    /// Bytes that they wrote.
    pub compaction_bytes_written: u64,
    /// Values pinned by freyja_get_pinned and not released yet, in the whole process.
    pub pins_in_use: u64,
    /// RAM that lists of compactions, and images and hints of segments that are being written, take now, in the whole process.
    pub work_bytes: u64,
    /// All RAM that the store has, as freyja_options.memory_budget counts it: with 384 KiB for what there is whatever is stored, of
    /// which a small store needs less.
    pub memory_used_bytes: u64,
    /// RAM that the store may have; 0 without a limit.
    pub memory_budget_bytes: u64,
    /// How often something was refused for want of budget.
    pub memory_refusals: u64,
    /// How often memory that waited for its next use was given back because the budget filled up.
    pub memory_trims: u64,
    /// How often the index was made smaller for that reason where keys had gone.
    pub memory_evacuations: u64,
    /// Bytes of addresses of the regions that buffers above the largest class of the buffer pool lie in, and blocks of batches
    /// above 32 KiB, in the whole process.
    pub region_mapped_bytes: u64,
    /// Of these, bytes of buffers and blocks in use.
    pub region_allocated_bytes: u64,
    /// Bytes of RAM that wait there for their next use. Over the sum of these and region_allocated_bytes they are the
    /// fragmentation of the regions.
    pub region_idle_bytes: u64,
    /// Free neighbours that buffers and blocks there had when they were freed.
    pub region_free_neighbours: u64,
    /// Of these, how many were joined with what was freed: all but those in another region.
    pub region_coalesced: u64,
    /// RAM of all batches, in the whole process: their blocks, used or not yet.
    pub batch_bytes: u64,
    /// Merges since the image was written, whose lists of moved records were followed when the store was opened.
    pub merges_followed: u64,
}

/// Values of freyja_stats_t.recovery_way.
#[repr(C)]
pub enum freyja_recovery_way {
    /// All segment files were read.
    FREYJA_RECOVERED_BY_SCAN = 0,
    /// An image of the index was used, and what had been written after it was read.
    FREYJA_RECOVERED_BY_IMAGE = 1,
}

/// Values of freyja_stats_t.recovery_image_fault.
#[repr(C)]
pub enum freyja_image_fault {
    /// It was used.
    FREYJA_IMAGE_USED = 0,
    /// There was none.
    FREYJA_IMAGE_ABSENT = 1,
    /// It was cut short or damaged, or could not be read.
    FREYJA_IMAGE_DAMAGED = 2,
    /// Another version of the library wrote it.
    FREYJA_IMAGE_VERSION = 3,
    /// It belongs to another store.
    FREYJA_IMAGE_OTHER_STORE = 4,
    /// It refers to a segment file that is missing, another one, or shorter than it was.
    FREYJA_IMAGE_SEGMENT_MISSING = 5,
    /// It refers to records that are no longer there.
    FREYJA_IMAGE_NEWER = 6,
    /// There are older records of which it does not know.
    FREYJA_IMAGE_SEGMENT_UNKNOWN = 7,
    /// Compaction has replaced segment files to which it refers, and not all lists of what was moved are there.
    FREYJA_IMAGE_MOVES_MISSING = 8,
}

// SAFETY: two `u32` and 61 `u64` leave no padding.
unsafe impl Growing for freyja_stats_t {
    const FIRST_SIZE: usize = 496;
    const NAME: &'static str = "freyja_stats_t";
}

const _: () = assert!(size_of::<freyja_stats_t>() == 496);

// The store's numbers are those of the header.
const _: () = {
    assert!(RecoveryWay::Scan as u64 == FREYJA_RECOVERED_BY_SCAN as u64);
    assert!(RecoveryWay::Image as u64 == FREYJA_RECOVERED_BY_IMAGE as u64);
    assert!(ImageFault::None as u64 == FREYJA_IMAGE_USED as u64);
    assert!(ImageFault::Absent as u64 == FREYJA_IMAGE_ABSENT as u64);
    assert!(ImageFault::Damaged as u64 == FREYJA_IMAGE_DAMAGED as u64);
    assert!(ImageFault::Version as u64 == FREYJA_IMAGE_VERSION as u64);
    assert!(ImageFault::OtherStore as u64 == FREYJA_IMAGE_OTHER_STORE as u64);
    assert!(ImageFault::SegmentMissing as u64 == FREYJA_IMAGE_SEGMENT_MISSING as u64);
    assert!(ImageFault::NewerThanLog as u64 == FREYJA_IMAGE_NEWER as u64);
    assert!(ImageFault::SegmentUnknown as u64 == FREYJA_IMAGE_SEGMENT_UNKNOWN as u64);
    assert!(ImageFault::MovesMissing as u64 == FREYJA_IMAGE_MOVES_MISSING as u64);
};

/// Tells what a store holds and what it has done.
///
/// @param[out] out     the statistics.
/// @param struct_size  sizeof(freyja_stats_t).
/// @return FREYJA_OK; FREYJA_INVALID, FREYJA_CLOSED, FREYJA_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_stats(
    db: *mut freyja_db,
    out: *mut freyja_stats_t,
    struct_size: usize,
) -> c_int {
    reading(db, |store| {
        // SAFETY: callers pass NULL, or have as many bytes there as they say (header, convention 3).
        let out = unsafe { Place::new(out, struct_size)? };
        out.set(&with_buffers(of_store(&store.stats())));
        Ok(FREYJA_OK)
    })
}

fn of_store(stats: &Stats) -> freyja_stats_t {
    freyja_stats_t {
        struct_size: size_of::<freyja_stats_t>() as u32,
        reserved: 0,
        keys: stats.keys,
        index_bytes: stats.index_bytes,
        key_bytes: stats.key_bytes,
        slab_count: stats.slab_count,
        slab_allocated_bytes: stats.slab_allocated_bytes,
        slab_live_bytes: stats.slab_live_bytes,
        slab_wasted_bytes: stats.slab_wasted_bytes,
        disk_bytes: stats.disk_bytes,
        dead_bytes: stats.dead_bytes,
        segments: stats.segments,
        puts: stats.puts,
        gets: stats.gets,
        deletes: stats.deletes,
        syncs: stats.syncs,
        last_sequence: stats.last_sequence,
        durable_sequence: stats.durable_sequence,
        recovered_records: stats.recovered_records,
        recovery_cut_bytes: stats.recovery_cut_bytes,
        recovery_damaged_spans: stats.recovery_damaged_spans,
        recovery_damaged_bytes: stats.recovery_damaged_bytes,
        recovery_missing_segments: stats.recovery_missing_segments,
        recovery_microseconds: stats.recovery_microseconds,
        buffers_in_use: 0,
        buffer_gets: 0,
        buffer_hits: 0,
        buffers_refused: 0,
        recovery_way: stats.recovery_way,
        recovery_image_fault: stats.recovery_image_fault,
        images_written: stats.images_written,
        image_failures: stats.image_failures,
        shards_loaded: stats.shards_loaded,
        shards_rebuilt: stats.shards_rebuilt,
        missing_keys: stats.missing_keys,
        shards_absent: stats.shards_absent,
        segments_from_image: stats.segments_from_image,
        segments_from_hints: stats.segments_from_hints,
        segments_scanned: stats.segments_scanned,
        hints_unusable: stats.hints_unusable,
        image_bytes: stats.image_bytes,
        index_idle_bytes: stats.index_idle_bytes,
        live_bytes: stats.live_bytes,
        tombstone_bytes: stats.tombstone_bytes,
        dead_pairs: stats.dead_puts,
        written_bytes: stats.written_bytes,
        compactions: stats.compactions,
        compaction_bytes_read: stats.compaction_bytes_read,
        compaction_bytes_written: stats.compaction_bytes_written,
        pins_in_use: 0,
        work_bytes: stats.work_bytes,
        memory_used_bytes: stats.memory_used_bytes,
        memory_budget_bytes: stats.memory_budget_bytes,
        memory_refusals: stats.memory_refusals,
        memory_trims: stats.memory_trims,
        memory_evacuations: stats.memory_evacuations,
        region_mapped_bytes: 0,
        region_allocated_bytes: 0,
        region_idle_bytes: 0,
        region_free_neighbours: 0,
        region_coalesced: 0,
        batch_bytes: 0,
        merges_followed: stats.merges_followed,
    }
}

/// Adds the counts of the buffer pool, of batches and of pins, which are those of the whole process.
fn with_buffers(mut stats: freyja_stats_t) -> freyja_stats_t {
    stats.pins_in_use = pinned::count();
    stats.batch_bytes = batch_arena::bytes_of_process();
    if let Some(pool) = process_pool_if_any() {
        let pool = pool.statistics();
        stats.buffers_in_use = pool.in_use();
        stats.buffer_gets = pool.gets();
        stats.buffer_hits = pool.hits();
        stats.buffers_refused = pool.refused;
        stats.region_mapped_bytes = pool.large.mapped_bytes;
        stats.region_allocated_bytes = pool.large.bytes_in_use;
        stats.region_idle_bytes = pool.large.idle_bytes;
        stats.region_free_neighbours = pool.large.free_neighbours;
        stats.region_coalesced = pool.large.coalesced;
    }
    stats
}
