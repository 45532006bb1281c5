//! Statistics of a store.
#![allow(unsafe_code)]

use std::ffi::c_int;

use super::arguments::Output;
use super::database::reading;
use super::db::freyja_db;
use super::status::freyja_status::*;
use super::structs::{self, Growing};
use crate::memory::buffer_pool::process_pool_if_any;
use crate::store::Stats;

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
    /// Buffers handed out by freyja_get and not freed yet, in the whole process.
    pub buffers_in_use: u64,
    /// Buffers handed out so far, in the whole process.
    pub buffer_gets: u64,
    /// Of these, how many came from a cache.
    pub buffer_hits: u64,
    /// Pointers that freyja_free_buf refused so far, in the whole process.
    pub buffers_refused: u64,
}

// SAFETY: two `u32` and 26 `u64` leave no padding.
unsafe impl Growing for freyja_stats_t {
    const FIRST_SIZE: usize = 216;
    const NAME: &'static str = "freyja_stats_t";
}

const _: () = assert!(size_of::<freyja_stats_t>() == 216);

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
        // SAFETY: callers pass NULL or a valid pointer (header, convention 3).
        let out = unsafe { Output::new(out)? };
        structs::check_size::<freyja_stats_t>(struct_size)?;
        // SAFETY: callers have as many bytes there as they say, and the size is one of this struct.
        unsafe { structs::write(out, struct_size, &with_buffers(of_store(&store.stats()))) };
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
    }
}

/// Adds the counts of the buffer pool, which all stores of the process share.
fn with_buffers(mut stats: freyja_stats_t) -> freyja_stats_t {
    if let Some(pool) = process_pool_if_any() {
        let pool = pool.statistics();
        stats.buffers_in_use = pool.in_use();
        stats.buffer_gets = pool.gets();
        stats.buffer_hits = pool.hits();
        stats.buffers_refused = pool.refused;
    }
    stats
}
