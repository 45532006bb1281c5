//! What a `freyja_batch` handle stands for.

use std::ffi::c_int;

use super::batch::freyja_batch;
use super::exclusive::ExclusiveTable;
use super::status::freyja_status;
use crate::error::Result;
use crate::store::{Batch, BatchProfile};

static BATCHES: ExclusiveTable<Batch, 2> = ExclusiveTable::new("batch");

/// Makes an empty batch and a handle to it. Without a limit it has that of its profile.
pub fn make(profile: Option<BatchProfile>, limit_bytes: Option<u64>) -> Result<*mut freyja_batch> {
    let handle = BATCHES.make(Batch::with(profile, limit_bytes))?;
    Ok(std::ptr::without_provenance_mut(handle))
}

/// Invalidates the handle and frees what the batch holds, at once unless another thread is using it.
pub fn free(batch: *mut freyja_batch) -> Result<()> {
    BATCHES.free(batch.addr())
}

/// Runs a call that changes the batch or asks it something.
#[inline(always)]
pub fn changing(
    batch: *mut freyja_batch,
    call: impl FnOnce(&mut Batch) -> Result<freyja_status>,
) -> c_int {
    BATCHES.changing(batch.addr(), call)
}

/// Calls `read` with the batch, which no other thread can use meanwhile.
pub fn reading<R>(batch: *mut freyja_batch, read: impl FnOnce(&Batch) -> Result<R>) -> Result<R> {
    BATCHES.reading(batch.addr(), read)
}
