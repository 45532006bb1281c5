//! Durability: syncing what has been appended, and sealing full segments.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{CommitLog, OpenSegment, Place, closed};
use crate::error::{Error, ErrorKind, Result};
use crate::log::Segment;
use crate::memory::epoch;
use crate::store::live_segment::{LiveSegment, Sealed};

/// What a sync covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything appended so far.
    Everything,
    /// Only segments that are full, so that they can be sealed.
    FullSegments,
}

/// The active segment, as it is when a sync begins.
struct ActiveSegment {
    segment: Arc<Segment>,
    is_named: bool,
}

impl CommitLog {
    pub(super) fn sync_segment(&self, segment: &Segment) -> Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        sabotage!(SyncErrorIgnored, return segment.sync().or(Ok(())));
        sabotage!(
            SyncRetried,
            return segment.sync().or_else(|_| segment.sync())
        );
        segment.sync().map_err(|error| self.stop(error))
    }

    /// Returns when everything up to `sequence` is durable, sharing syncs with other waiting writers.
    pub fn wait(&self, sequence: u64) -> Result<()> {
        let clock = || self.place.vfs.monotonic();
        self.commit
            .wait(sequence, clock, || self.sync_as_leader(Scope::Everything))
    }

    /// Makes what `scope` covers durable, and seals full segments.
    pub fn sync(&self, scope: Scope) -> Result<()> {
        self.commit.sync_now(|| self.sync_as_leader(scope))
    }

    /// Whether the sync interval has passed since the last sync of everything.
    pub fn interval_has_passed(&self) -> bool {
        let elapsed = self
            .now_ms()
            .saturating_sub(self.last_sync_ms.load(Ordering::Relaxed));
        elapsed >= u64::from(self.place.options.sync_interval_ms)
    }

    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.place.vfs.monotonic().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn sync_as_leader(&self, scope: Scope) -> Result<()> {
        self.failure.check_writable()?;
        self.finish_adoption()?;
        if scope == Scope::Everything {
            self.last_sync_ms.store(self.now_ms(), Ordering::Relaxed);
        }
        let (full, active, target) = self.snapshot(scope)?;
        for segment in &full {
            segment.live.segment.leave_pages();
            self.sync_segment(&segment.live.segment)?;
        }
        if let Some(active) = &active {
            self.sync_segment(&active.segment)?;
        }
        let mut named = full.iter().map(|it| it.is_named);
        if !named.all(|it| it) || active.as_ref().is_some_and(|it| !it.is_named) {
            self.sync_names(active.map(|it| it.segment.id()))?;
        }
        self.commit.advance(target);
        for segment in full {
            self.seal(segment);
        }
        Ok(())
    }

    /// Makes the names of all segments durable, of which `active` is one, if it is still the active one.
    fn sync_names(&self, active: Option<u64>) -> Result<()> {
        let Place { vfs, directory, .. } = &self.place;
        sabotage!(SuccessorNameUnsynced, return Ok(()));
        self.syncs.fetch_add(1, Ordering::Relaxed);
        let synced = vfs.sync_directory(directory);
        synced.map_err(|error| self.stop(Error::io("sync directory", directory, &error)))?;
        let mut tail = self.tail.lock();
        let tail = &mut *tail;
        for segment in tail.full.iter_mut().chain(&mut tail.active) {
            segment.is_named |= Some(segment.live.segment.id()) == active;
        }
        Ok(())
    }

    /// Takes over the full segments and says what of the active one to sync, and up to which sequence all is durable then.
    fn snapshot(&self, scope: Scope) -> Result<(Vec<OpenSegment>, Option<ActiveSegment>, u64)> {
        let mut tail = self.tail.lock();
        let durable = self.commit.durable();
        let full = std::mem::take(&mut tail.full);
        tail.full_bytes = 0;
        let target = match scope {
            Scope::Everything => tail.last_sequence,
            Scope::FullSegments => full.last().map_or(durable, |segment| segment.last_sequence),
        };
        if scope == Scope::Everything {
            let written = tail.written_bytes;
            tail.pages.note_sync(written);
        }
        let mut to_sync = None;
        if let Some(active) = tail.active.as_mut()
            && scope == Scope::Everything
            && target > durable
        {
            if durable > active.proven {
                self.mark(active, durable)?;
            }
            to_sync = Some(ActiveSegment {
                segment: active.live.segment.clone(),
                is_named: active.is_named,
            });
        }
        Ok((full, to_sync, target))
    }

    /// Records in the log that everything up to `durable` is on the disk, which later tells damage from a torn
    /// tail. Where there is no room for it, nothing but that distinction is lost.
    fn mark(&self, active: &mut OpenSegment, durable: u64) -> Result<()> {
        match active.writer.append_mark(durable) {
            Ok(true) => active.proven = durable,
            Ok(false) => {}
            Err(error) if active.writer.failed() => return Err(self.stop(error)),
            Err(_) => {}
        }
        Ok(())
    }

    /// Seals a segment whose content is durable. If that fails it stays unsealed, which costs the next
    /// open a scan of it and nothing else.
    pub(super) fn seal(&self, full: OpenSegment) {
        let OpenSegment {
            mut writer,
            live,
            share,
            ..
        } = full;
        writer.note_expired_until(self.place.clock.expired_until_ms());
        drop(self.reserving.lock());
        let sealed = writer.seal(self.index.len()).and_then(|footer| {
            let read_mode = self.place.options.read_mode;
            let sealed = live.segment.reopen_sealed(&footer, read_mode)?;
            sealed.make_readable();
            Ok(live.replaced_by(
                sealed,
                Sealed {
                    records_end: footer.records_end(),
                    totals: footer.totals,
                },
            ))
        });
        if let Ok(sealed) = sealed {
            self.sealed.fetch_add(share, Ordering::Relaxed);
            let guard = epoch::pin();
            self.segments.replace(Arc::new(sealed), &guard);
        }
    }

    /// Makes everything written so far durable and seals it; what is written meanwhile goes to a new segment. Answers the sequence
    /// number of the last record, and all segments that hold records up to it, every one of them sealed, and none beyond.
    pub fn seal_everything(&self) -> Result<(u64, Vec<Arc<LiveSegment>>)> {
        let mut sealed = None;
        self.commit.sync_now(|| {
            self.failure.check_writable()?;
            let sequence = self.end_active()?;
            self.sync_as_leader(Scope::FullSegments)?;
            // Nobody else seals a segment before this ends.
            sealed = Some((sequence, self.segments.members()?));
            Ok(())
        })?;
        let (sequence, members) = sealed.unwrap_or_default();
        let is_earlier = |live: &Arc<LiveSegment>| live.segment.header().base_sequence <= sequence;
        #[cfg_attr(not(feature = "sabotage"), allow(unused_mut))]
        let mut members: Vec<_> = members.into_iter().filter(is_earlier).collect();
        sabotage!(BackupWithoutEnd, drop(members.pop()));
        match members.iter().find(|live| !live.is_sealed()) {
            None => Ok((sequence, members)),
            Some(live) => Err(Error::new(
                ErrorKind::Failed,
                format!(
                    "{}: could not be sealed; close the store and open it again",
                    live.segment.path().display()
                ),
            )),
        }
    }

    /// Lets the active segment, if it has records, count as full; answers the sequence number of the last record.
    fn end_active(&self) -> Result<u64> {
        let mut tail = self.tail.lock();
        if tail.closed {
            return Err(closed());
        }
        self.end_active_if(&mut tail, |active| active.writer.totals().records > 0);
        Ok(tail.last_sequence)
    }
}
