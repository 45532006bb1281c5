//! Puts and deletes.

use super::Store;
use super::commit_log::{Appended, CommitLog, Scope};
use super::contents::Contents;
use super::counters::Operation;
use super::image;
use super::options::SyncMode;
use super::read::{check_key, too_large};
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;
use crate::index::{Confirmation, Entry, Prospect, Refuted};
use crate::log::record::{Fields, Kind, MAX_VALUE_LEN};
use crate::memory::epoch::{self, Guard};

/// So many full segments may wait to be sealed by the background thread, and so many bytes of small ones, before writers do it
/// themselves.
const FULL_SEGMENTS_IN_BACKGROUND: usize = 4;
const FULL_BYTES_IN_BACKGROUND: u64 = 32 << 20;

impl Store {
    /// Stores `value` under `key`, replacing what was there. Both may be empty.
    ///
    /// Fails with [`ErrorKind::TooLarge`] for a key above [`MAX_KEY_LEN`](crate::log::record::MAX_KEY_LEN) or a value above
    /// [`MAX_VALUE_LEN`] bytes, and with the system's error when the disk is full: then the put did not happen and
    /// writing can go on. Any other failure of the disk stops all writing; whether this put took place shows at the
    /// next open.
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.put_until(key, value, None)
    }

    /// As [`Store::put`], but from the moment `expires_at_ms` on, in milliseconds since 1970-01-01 UTC, every read answers as
    /// if `key` were not there; 0 stands for never. A moment in the past is no error: what was under `key` is gone.
    ///
    /// What has once been found expired stays so when the clock steps back, also after reopening if the store was
    /// closed; after a crash, what had expired when the last segment file was made stays so: at most one and a half segments ago.
    pub fn put_expiring(&self, key: &[u8], value: &[u8], expires_at_ms: u64) -> Result<()> {
        self.put_until(key, value, Some(expires_at_ms).filter(|&moment| moment > 0))
    }

    /// As [`Store::put`], of a pair that ceases to exist at `expires_at_ms`, in milliseconds since 1970-01-01 UTC, if
    /// that is given.
    pub(super) fn put_until(
        &self,
        key: &[u8],
        value: &[u8],
        expires_at_ms: Option<u64>,
    ) -> Result<()> {
        self.shared
            .relieved(|| self.try_put(key, value, expires_at_ms))
    }

    fn try_put(&self, key: &[u8], value: &[u8], expires_at_ms: Option<u64>) -> Result<()> {
        let shared = &*self.shared;
        shared.check_open()?;
        check_lengths(key, value)?;
        let log = shared.log()?;
        let appended = {
            let guard = epoch::pin();
            let Contents {
                index, segments, ..
            } = shared.contents(&guard);
            let hash = index.hash(key);
            index.make_present(&guard, hash)?;
            let fields = Fields {
                expires_at_ms,
                ..record(Kind::Put, key, value)
            };
            // Index space is reserved before the log is written, so that nothing can be durable and unknown; or else what was written
            // is taken back. What replaces a record reserves none; the old one comes from memory while the new one is written.
            let mut may_guess = true;
            let (entry, appended) = loop {
                let bits = log.location_bits();
                let unseen = match may_guess && shared.novelty.is_expected() {
                    true => index.unseen_entry(&guard, hash, key, bits)?,
                    false => None,
                };
                let prospect = match unseen {
                    Some(unseen) => Prospect::Unseen(unseen),
                    None if may_guess => index.likely_entry(&guard, hash, key, bits)?,
                    None => Prospect::Sure(index.entry(&guard, hash, key, bits)?),
                };
                let Some(appended) = log.append_within(fields, bits)? else {
                    // The log has outgrown the bits, and will say so when asked again.
                    continue;
                };
                let confirmation = match prospect {
                    Prospect::Sure(entry) => Confirmation::Entry(entry),
                    Prospect::Likely(likely) => likely.confirm(key),
                    Prospect::Unseen(unseen) => unseen.confirm(key),
                };
                match confirmation {
                    Confirmation::Entry(entry) => break (entry, appended),
                    Confirmation::Refuted(refuted) => {
                        shared.novelty.note(false);
                        self.take_back(log, key, appended, refuted, &guard)?
                    }
                }
                may_guess = false;
            };
            shared.novelty.note(matches!(entry, Entry::Vacant(_)));
            match entry {
                Entry::Occupied(occupied) => {
                    let (old, bytes) = (occupied.location(), occupied.stored_bytes());
                    occupied.replace(appended.location);
                    segments.bury_seen(old, bytes, &guard);
                }
                Entry::Vacant(vacant) => vacant.insert(appended.location),
            }
            appended
        };
        if expires_at_ms.is_some() {
            shared.compactor.note_expiring();
        }
        self.acknowledge(log, appended)?;
        shared.counters.count(Operation::Put);
        Ok(())
    }

    /// Takes the record `put` back, the newest of `key`, which has no other and for which the index has no room ready. It was believed to
    /// replace one, as another key has the same tag.
    ///
    /// # Errors
    /// If that is impossible, all writing stops: for the next open the put has happened.
    #[cold]
    fn take_back(
        &self,
        log: &CommitLog,
        key: &[u8],
        put: Appended,
        mut refuted: Refuted<'_>,
        guard: &Guard,
    ) -> Result<()> {
        if let Some(error) = refuted.error.take() {
            return Err(log.stop(error));
        }
        let tombstone = log.append(record(Kind::Tombstone, key, &[]));
        let tombstone = tombstone.map_err(|error| log.stop(error))?;
        let segments = &self.shared.contents(guard).segments;
        segments.bury(put.location, guard);
        segments.bury(tombstone.location, guard);
        drop(refuted);
        if put.filled_a_segment || tombstone.filled_a_segment {
            self.wake_background();
        }
        Ok(())
    }

    /// Removes `key`; answers whether it was there. A key that is not there costs no write. One that has expired was not there,
    /// but is deleted nevertheless, so that no clock brings it back.
    /// Fails as [`Store::put`] does.
    pub fn delete(&self, key: &[u8]) -> Result<bool> {
        let shared = &*self.shared;
        shared.check_open()?;
        check_key(key)?;
        let log = shared.log()?;
        let (appended, had_expired) = {
            let guard = epoch::pin();
            let Contents {
                index, segments, ..
            } = shared.contents(&guard);
            let hash = index.hash(key);
            index.make_present(&guard, hash)?;
            let occupied = index.occupied(&guard, hash, key);
            let occupied = occupied.inspect_err(|error| shared.failure.record(error))?;
            let Some(occupied) = occupied else {
                return Ok(false);
            };
            let old = occupied.location();
            // Whoever deletes a damaged record wants it gone.
            let had_expired = segments.has_expired(old, &shared.clock, &guard);
            let had_expired = had_expired.unwrap_or(false);
            let appended = log.append(record(Kind::Tombstone, key, &[]))?;
            occupied.remove();
            segments.bury(old, &guard);
            // The tombstone is garbage itself as soon as nothing older can come back.
            segments.bury(appended.location, &guard);
            (appended, had_expired)
        };
        self.acknowledge(log, appended)?;
        if !had_expired {
            shared.counters.count(Operation::Delete);
        }
        Ok(!had_expired)
    }

    /// Returns when the record is as durable as the store's mode demands.
    #[inline(always)]
    pub(super) fn acknowledge(&self, log: &CommitLog, appended: Appended) -> Result<()> {
        self.make_durable(log, appended)?;
        if appended.filled_a_segment && self.shared.options.background_threads == 0 {
            image::write_if_due(&self.shared);
        }
        Ok(())
    }

    #[inline(always)]
    fn make_durable(&self, log: &CommitLog, appended: Appended) -> Result<()> {
        let background = self.shared.options.background_threads > 0;
        if self.shared.options.sync_mode == SyncMode::Always {
            sabotage!(AcknowledgedBeforeSync, return Ok(()));
            log.wait(appended.sequence)?;
            if background && appended.filled_a_segment {
                self.wake_background();
            }
            return Ok(());
        }
        if background {
            if appended.filled_a_segment {
                self.wake_background();
            }
            if appended.full_segments > FULL_SEGMENTS_IN_BACKGROUND
                && appended.full_bytes > FULL_BYTES_IN_BACKGROUND
            {
                log.sync(Scope::FullSegments)?;
            }
            return Ok(());
        }
        if self.shared.options.sync_mode == SyncMode::Interval && log.interval_has_passed() {
            return log.sync(Scope::Everything);
        }
        if appended.full_segments > 0 {
            log.sync(Scope::FullSegments)?;
        }
        Ok(())
    }

    #[cold]
    fn wake_background(&self) {
        if let Some(background) = &*self.background.lock() {
            background.wake();
        }
    }
}

fn record<'a>(kind: Kind, key: &'a [u8], value: &'a [u8]) -> Fields<'a> {
    Fields {
        kind,
        continues: false,
        follows_durable: false,
        expires_at_ms: None,
        sequence: 0,
        key,
        value,
    }
}

/// Refuses a key or value that no record can hold.
#[inline(always)]
pub(super) fn check_lengths(key: &[u8], value: &[u8]) -> Result<()> {
    check_key(key)?;
    match value.len() <= MAX_VALUE_LEN {
        true => Ok(()),
        false => Err(too_large("value", value.len(), MAX_VALUE_LEN)),
    }
}

#[cfg(test)]
mod tests;
