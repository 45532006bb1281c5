//! Gets, existence checks and lookups of a record's place.

use std::cell::Cell;

use super::Store;
use super::contents::Contents;
use super::counters::Operation;
use super::live_segment::LiveSegment;
use super::options::ReadChecks;
use crate::error::{Error, ErrorKind, Result};
use crate::index::Location;
use crate::log::RecordView;
use crate::log::record::MAX_KEY_LEN;
use crate::memory::epoch;
use crate::memory::epoch::Guard;

/// Where the newest record of a key lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordLocation {
    /// Id of the segment file.
    pub segment_id: u64,
    /// Offset in bytes of the record in that file.
    pub offset: u64,
    /// Bytes that the record takes there, with its head and padding.
    pub length: u64,
    /// The record's sequence number: its version, higher for every later write of the store.
    pub sequence: u64,
}

thread_local! {
    /// Where records are read to when segments are not mapped; kept, so that a get allocates nothing.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A scratch buffer larger than this is given back after use.
const SCRATCH_KEPT: usize = 1 << 20;

impl Store {
    /// The value of `key`, or `None`. See [`Store::get_with`] for a way without an allocation.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let copied = self.get_with(key, |value| {
            let mut copy = Vec::new();
            copy.try_reserve_exact(value.len())
                .map_err(|_| Error::memory("a value"))?;
            copy.extend_from_slice(value);
            Ok(copy)
        })?;
        copied.transpose()
    }

    /// Calls `use_value` with the value of `key`, which is verified and stays valid during the call.
    /// `use_value` must not wait for long: it delays the freeing of memory that readers might still see.
    ///
    /// Fails with [`ErrorKind::Corrupt`] if the newest record of the key is damaged; an older version is
    /// never given instead.
    pub fn get_with<R>(&self, key: &[u8], use_value: impl FnOnce(&[u8]) -> R) -> Result<Option<R>> {
        self.with_record(key, |_, view| use_value(view.value()))
    }

    /// Whether `key` is present. Reads no disk if the key is in memory, unless pairs that expire were written to the segment
    /// that the key is in.
    ///
    /// Fails with [`ErrorKind::Corrupt`] if it is not found, but a damaged record may be one of it.
    pub fn exists(&self, key: &[u8]) -> Result<bool> {
        let shared = &*self.shared;
        shared.check_open()?;
        check_key(key)?;
        let guard = epoch::pin();
        let Contents {
            index, segments, ..
        } = shared.contents(&guard);
        let hash = index.hash(key);
        index.make_present(&guard, hash)?;
        let location = index.locate(&guard, hash, key);
        let found = location.and_then(|location| match location {
            Some(location) => Ok(!segments.has_expired(location, &shared.clock, &guard)?),
            None => Ok(false),
        });
        shared.counters.count(Operation::Get);
        found.inspect_err(|error| shared.failure.record(error))
    }

    /// Where the newest record of `key` lies, and its version; `None` if the key is not there.
    pub fn locate(&self, key: &[u8]) -> Result<Option<RecordLocation>> {
        self.with_record(key, |live, view| RecordLocation {
            segment_id: live.segment.id(),
            offset: view.offset(),
            length: view.len_on_disk(),
            sequence: view.sequence(),
        })
    }

    /// Calls `use_record` with the verified record of `key` and its segment.
    #[inline(always)]
    pub(super) fn with_record<R>(
        &self,
        key: &[u8],
        use_record: impl FnOnce(&LiveSegment, &RecordView<'_>) -> R,
    ) -> Result<Option<R>> {
        let shared = &*self.shared;
        shared.check_open()?;
        check_key(key)?;
        let guard = epoch::pin();
        let contents = shared.contents(&guard);
        let index = &contents.index;
        let hash = index.hash(key);
        index.make_present(&guard, hash)?;
        // `find` may offer several candidates, but at most one of them holds the key.
        let mut use_record = Some(use_record);
        let mut scratch = Vec::new();
        let mut undecided = None;
        let found = index.find(&guard, hash, |location| {
            let checks = shared.options.read_checks;
            match contents.read(&guard, location, key, checks, &mut scratch) {
                Ok(Some((_, view))) if shared.clock.has_expired(view.expires_at_ms()) => {
                    Some(Ok(None))
                }
                Ok(Some((live, view))) => use_record
                    .take()
                    .map(|use_record| Ok(Some(use_record(live, &view)))),
                Ok(None) => None,
                // Damage may have hit the very bytes that tell whose record it is: the index may know. If it does not
                // either, another candidate may still be the one.
                Err(error) => match index.locate(&guard, hash, key) {
                    Ok(Some(own)) if own == location => Some(Err(error)),
                    Ok(None) => None,
                    Ok(Some(_)) | Err(_) => {
                        undecided = Some(error);
                        None
                    }
                },
            }
        });
        if (1..=SCRATCH_KEPT).contains(&scratch.capacity()) {
            SCRATCH.set(scratch);
        }
        shared.counters.count(Operation::Get);
        match found.or(undecided.map(Err)) {
            Some(Err(error)) => {
                shared.failure.record(&error);
                Err(error)
            }
            Some(Ok(result)) => Ok(result),
            None => Ok(None),
        }
    }
}

impl Contents {
    /// The record at `location`, checked, if it is one of `key`.
    #[inline(always)]
    fn read<'a>(
        &'a self,
        guard: &'a Guard,
        location: Location,
        key: &[u8],
        checks: ReadChecks,
        scratch: &'a mut Vec<u8>,
    ) -> Result<Option<(&'a LiveSegment, RecordView<'a>)>> {
        let Some(live) = self.segments.find(location, guard) else {
            return Ok(None);
        };
        let offset = live.offset(location);
        if !live.segment.is_mapped() && scratch.capacity() == 0 {
            // Taken out, so that who uses the record may itself read from a store.
            *scratch = SCRATCH.take();
        }
        let view = live.segment.record(offset, scratch)?;
        Ok(is_of(&view, key, checks)?.then_some((live, view)))
    }
}

/// Whether a record that may be one of `key` is one, after as many checks as are wanted.
#[inline(always)]
pub(super) fn is_of(view: &RecordView<'_>, key: &[u8], checks: ReadChecks) -> Result<bool> {
    match checks {
        ReadChecks::Checksum => {
            // First, so that damage to the key does not make a stranger of the record.
            view.verify()?;
            Ok(view.key() == key)
        }
        // A copy, so that the usual one can stay in registers.
        ReadChecks::Key => is_trusted_of(*view, key),
    }
}

#[inline(never)]
fn is_trusted_of(view: RecordView<'_>, key: &[u8]) -> Result<bool> {
    let is_of_key = view.key() == key;
    // Damage must neither make a stranger of a record nor let a pair pass for expired.
    if !is_of_key || !view.is_plain_put() {
        view.verify()?;
    }
    Ok(is_of_key)
}

/// Refuses a key that no record can hold.
#[inline(always)]
pub(super) fn check_key(key: &[u8]) -> Result<()> {
    match key.len() <= MAX_KEY_LEN {
        true => Ok(()),
        false => Err(too_large("key", key.len(), MAX_KEY_LEN)),
    }
}

/// The answer to a key or value, as `what` says, of `length` bytes where `limit` are possible.
#[cold]
pub(super) fn too_large(what: &str, length: usize, limit: usize) -> Error {
    let message = format!("the {what} has {length} bytes; the limit is {limit}");
    Error::new(ErrorKind::TooLarge, message)
}
