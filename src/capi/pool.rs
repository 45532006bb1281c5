//! The buffer pool of the process: its counts, its bounds, its classes.
#![allow(unsafe_code)]

use std::ffi::c_int;

use super::arguments;
use super::buffer::{answer, pool};
use super::fork;
use super::status::freyja_status::*;
use super::structs::{Growing, Place};
use crate::error::{Error, ErrorKind};
use crate::memory::buffer_pool::{ClassStatistics, Fit, Statistics, set_process_classes};

/// Counts of the buffer pool, which all stores of the process share. While other threads use it the fields may be of
/// slightly different moments, but none is ever below or above what happened.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct freyja_pool_stats_t {
    /// Bytes of this struct that the library knows: fields beyond are 0.
    pub struct_size: u32,
    /// Size classes; see freyja_pool_class_stats.
    pub classes: u32,
    /// Buffers handed out so far.
    pub gets: u64,
    /// Of these, how many came from the magazine of the thread, or were large and had been used before.
    pub hits: u64,
    /// The others.
    pub misses: u64,
    /// Buffers that callers hold, and blocks of batches.
    pub in_use: u64,
    /// Buffers that wait in magazines, and free memory of large ones that waits, as many pieces as it is in.
    pub pooled: u64,
    /// Requests for more than the largest class holds.
    pub oversize: u64,
    /// Bytes of the large buffers that callers hold, those of oversize requests, and of blocks of batches above 32 KiB.
    pub large_bytes: u64,
    /// Pointers that freyja_free_buf refused.
    pub refused: u64,
    /// Bytes that wait for their next use: room of magazines, empty spans that keep their memory, large buffers.
    pub idle_bytes: u64,
    /// Bytes that may wait at most; see freyja_pool_set_idle_limit.
    pub idle_limit: u64,
    /// Bytes of addresses that classes have taken so far; memory is behind at most these.
    pub span_bytes: u64,
    /// Threads that have magazines.
    pub threads: u64,
}

// SAFETY: two `u32` and 12 `u64` leave no padding.
unsafe impl Growing for freyja_pool_stats_t {
    const FIRST_SIZE: usize = 104;
    const NAME: &'static str = "freyja_pool_stats_t";
}

const _: () = assert!(size_of::<freyja_pool_stats_t>() == 104);

/// Counts of one size class of the buffer pool.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct freyja_pool_class_t {
    /// Bytes of this struct that the library knows: fields beyond are 0.
    pub struct_size: u32,
    /// Always 0.
    pub reserved: u32,
    /// Bytes of a buffer of this class: the longest request that it serves.
    pub size: u64,
    /// Buffers handed out so far.
    pub gets: u64,
    /// Of these, how many came from the magazine of the thread.
    pub hits: u64,
    /// The others.
    pub misses: u64,
    /// Buffers that callers hold.
    pub in_use: u64,
    /// Buffers that wait in magazines.
    pub pooled: u64,
}

// SAFETY: two `u32` and 6 `u64` leave no padding.
unsafe impl Growing for freyja_pool_class_t {
    const FIRST_SIZE: usize = 56;
    const NAME: &'static str = "freyja_pool_class_t";
}

const _: () = assert!(size_of::<freyja_pool_class_t>() == 56);

/// Tells what went through the buffer pool of the process. Takes some microseconds.
///
/// @param[out] out     the counts.
/// @param struct_size  sizeof(freyja_pool_stats_t).
/// @return FREYJA_OK; FREYJA_INVALID, FREYJA_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_pool_stats(
    out: *mut freyja_pool_stats_t,
    struct_size: usize,
) -> c_int {
    answer(|| {
        // SAFETY: callers pass NULL, or have as many bytes there as they say (header, convention 3).
        let out = unsafe { Place::new(out, struct_size)? };
        let statistics = of_pool(&pool()?.statistics());
        out.set(&statistics);
        Ok(FREYJA_OK)
    })
}

/// Tells what went through one size class of the buffer pool.
///
/// @param number       0 for the smallest class, and so on.
/// @param[out] out     the counts.
/// @param struct_size  sizeof(freyja_pool_class_t).
/// @return FREYJA_OK; FREYJA_DONE if there are not so many classes; FREYJA_INVALID, FREYJA_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_pool_class_stats(
    number: usize,
    out: *mut freyja_pool_class_t,
    struct_size: usize,
) -> c_int {
    answer(|| {
        // SAFETY: callers pass NULL, or have as many bytes there as they say (header, convention 3).
        let out = unsafe { Place::new(out, struct_size)? };
        let statistics = pool()?.statistics();
        let Some(class) = statistics.classes().get(number) else {
            return Ok(FREYJA_DONE);
        };
        out.set(&of_class(class));
        Ok(FREYJA_OK)
    })
}

/// Gives the memory that waits in the buffer pool for its next use back to the system, also what other threads keep
/// for themselves. Buffers in use stay as they are.
///
/// @return FREYJA_OK; FREYJA_MEMORY.
#[unsafe(no_mangle)]
pub extern "C" fn freyja_pool_trim() -> c_int {
    answer(|| {
        pool()?.trim();
        Ok(FREYJA_OK)
    })
}

/// Bounds the memory that waits in the buffer pool for its next use; at first 16 MiB. What waits above the bound is given
/// back now. With 0 every buffer costs a lock, and a large one a system call.
///
/// @return FREYJA_OK; FREYJA_MEMORY.
#[unsafe(no_mangle)]
pub extern "C" fn freyja_pool_set_idle_limit(bytes: usize) -> c_int {
    answer(|| {
        pool()?.set_idle_limit(bytes);
        Ok(FREYJA_OK)
    })
}

/// Replaces the size classes of the buffer pool, before the process has its first buffer. A request is served by the
/// smallest class that holds it. By default there are 57: 64 bytes, and four for each doubling up to 1 MiB.
///
/// @param sizes  their sizes in bytes, each larger than the one before: multiples of 16 from 64 to 1048576.
/// @param count  1 to 64.
/// @return FREYJA_OK; FREYJA_BUSY if the pool has been used; FREYJA_INVALID, FREYJA_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_pool_set_classes(sizes: *const usize, count: usize) -> c_int {
    answer(|| {
        // SAFETY: callers pass NULL or as many sizes as they say (header, convention 3).
        let (sizes, count) = unsafe { arguments::sizes(sizes, count)? };
        fork::watch()?;
        set_process_classes(&sizes[..count])?;
        Ok(FREYJA_OK)
    })
}

/// Values for freyja_pool_set_fit.
#[repr(C)]
#[derive(Clone, Copy)]
pub enum freyja_fit {
    /// The shortest free memory that is long enough: the default.
    FREYJA_FIT_BEST = 0,
    /// That with the lowest address which is long enough. Has to look at all before it.
    FREYJA_FIT_FIRST = 1,
    /// The longest.
    FREYJA_FIT_WORST = 2,
}

/// Chooses where in its regions the buffer pool puts buffers above its largest class, and blocks of batches above 32 KiB.
///
/// @param fit  a value of freyja_fit.
/// @return FREYJA_OK; FREYJA_INVALID if it is none; FREYJA_MEMORY.
#[unsafe(no_mangle)]
pub extern "C" fn freyja_pool_set_fit(fit: u32) -> c_int {
    answer(|| {
        let fits = [
            (freyja_fit::FREYJA_FIT_BEST, Fit::Best),
            (freyja_fit::FREYJA_FIT_FIRST, Fit::First),
            (freyja_fit::FREYJA_FIT_WORST, Fit::Worst),
        ];
        let mut fits = fits.into_iter();
        let Some((_, fit)) = fits.find(|(number, _)| *number as u32 == fit) else {
            let message = format!("{fit} is no freyja_fit");
            return Err(Error::new(ErrorKind::Invalid, message));
        };
        pool()?.set_fit(fit);
        Ok(FREYJA_OK)
    })
}

fn of_pool(statistics: &Statistics) -> freyja_pool_stats_t {
    freyja_pool_stats_t {
        struct_size: size_of::<freyja_pool_stats_t>() as u32,
        classes: statistics.classes().len() as u32,
        gets: statistics.gets(),
        hits: statistics.hits(),
        misses: statistics.gets() - statistics.hits(),
        in_use: statistics.in_use(),
        pooled: statistics.pooled(),
        oversize: statistics.oversize,
        large_bytes: statistics.large.bytes_in_use,
        refused: statistics.refused,
        idle_bytes: statistics.idle_bytes,
        idle_limit: statistics.idle_limit,
        span_bytes: statistics.span_bytes,
        threads: statistics.threads,
    }
}

fn of_class(class: &ClassStatistics) -> freyja_pool_class_t {
    freyja_pool_class_t {
        struct_size: size_of::<freyja_pool_class_t>() as u32,
        reserved: 0,
        size: class.size as u64,
        gets: class.gets,
        hits: class.hits,
        misses: class.misses(),
        in_use: class.in_use,
        pooled: class.pooled,
    }
}
