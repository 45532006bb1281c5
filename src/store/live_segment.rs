//! A segment of an open store: what its locations mean, and what is known of its content.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::segment_set::{CHUNK_BITS, UNIT, location_limit};
use crate::error::Result;
use crate::index::Location;
use crate::log::Segment;
use crate::log::footer::Totals;
use crate::log::record::{Head, Kind};
use crate::log::writer;
use crate::memory::budget::HeapCharge;
use crate::vfs::Vfs;

/// A segment with its place in the location space.
pub struct LiveSegment {
    /// The readable segment.
    pub segment: Arc<Segment>,
    /// How much of it is garbage; shared by the open and the sealed form of one segment.
    pub usage: Arc<Usage>,
    pub(super) first_chunk: u64,
    /// Set once nothing more is written into it.
    pub(super) sealed: Option<Sealed>,
    pub(super) is_recovered: bool,
    /// For all that is kept of it; shared as `usage` is.
    pub(super) _charge: Arc<HeapCharge>,
}

/// What is known of a segment that nothing more is written into.
#[derive(Clone, Copy, Debug)]
pub struct Sealed {
    /// Where its records end.
    pub records_end: u64,
    /// What they amount to.
    pub totals: Totals,
}

/// Records of a segment that the index does not refer to, counted exactly: each is counted once, when it dies, and
/// tombstones are dead from the beginning. After a kill while others wrote beside an image of the index, some may count
/// twice, so that puts are never too few.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dead {
    /// Bytes of dead puts.
    pub put_bytes: u64,
    /// How many they are.
    pub puts: u64,
    /// Bytes of tombstones.
    pub tombstone_bytes: u64,
}

impl Dead {
    /// Bytes of all dead records.
    pub fn bytes(&self) -> u64 {
        self.put_bytes + self.tombstone_bytes
    }
}

/// What somebody has found who looked how much of a segment has expired.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Bytes of puts, dead ones among them, that had expired.
    pub expired_bytes: u64,
    /// When to look again, in milliseconds since 1970-01-01 UTC.
    pub look_at_ms: u64,
    /// Up to which offset records were looked at.
    pub until: u64,
    /// Whether every put among them had expired.
    pub all_expired: bool,
}

/// What is known of a segment's content.
#[derive(Default)]
pub struct Usage {
    put_bytes: AtomicU64,
    puts: AtomicU64,
    tombstone_bytes: AtomicU64,
    /// Damage was met that keeps the segment from being compacted.
    damaged: AtomicBool,
    /// The footer is known to be on the disk.
    footer_is_durable: AtomicBool,
    /// A sync that was to bring it there has failed.
    footer_sync_failed: AtomicBool,
    /// Bytes of puts, dead ones among them, that had expired when somebody looked.
    expired_bytes: AtomicU64,
    /// When to look again, in milliseconds since 1970-01-01 UTC.
    look_at_ms: AtomicU64,
    /// How far the segment had been written when somebody looked.
    looked_until: AtomicU64,
    /// Whether every put in it had expired then.
    all_expired: AtomicBool,
}

impl Usage {
    pub(super) fn new(dead: Dead, footer_is_durable: bool) -> Self {
        Self {
            put_bytes: AtomicU64::new(dead.put_bytes),
            puts: AtomicU64::new(dead.puts),
            tombstone_bytes: AtomicU64::new(dead.tombstone_bytes),
            damaged: AtomicBool::new(false),
            footer_is_durable: AtomicBool::new(footer_is_durable),
            footer_sync_failed: AtomicBool::new(false),
            expired_bytes: AtomicU64::new(0),
            look_at_ms: AtomicU64::new(0),
            looked_until: AtomicU64::new(0),
            all_expired: AtomicBool::new(false),
        }
    }

    /// What is dead.
    pub fn dead(&self) -> Dead {
        Dead {
            put_bytes: self.put_bytes.load(Ordering::Relaxed),
            puts: self.puts.load(Ordering::Relaxed),
            tombstone_bytes: self.tombstone_bytes.load(Ordering::Relaxed),
        }
    }

    /// Counts a record with this head as dead; `None` if it can't be read. That is damage, which whoever reads the record
    /// itself hears of; the record may have been a put that some tombstone keeps dead.
    #[inline(always)]
    pub(super) fn bury(&self, head: Option<&Head>) {
        match head {
            Some(head) if head.kind == Kind::Tombstone => {
                let bytes = &self.tombstone_bytes;
                bytes.fetch_add(head.total_len, Ordering::Relaxed);
            }
            head => self.bury_put(head.map_or(0, |head| head.total_len)),
        }
    }

    /// Counts a put that takes `bytes` on disk as dead.
    #[inline(always)]
    pub(super) fn bury_put(&self, bytes: u64) {
        self.put_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.puts.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts so many bytes of tombstones.
    pub(super) fn add_tombstones(&self, bytes: u64) {
        self.tombstone_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Forgets all tombstones, before they are counted anew.
    pub(super) fn forget_tombstones(&self) {
        self.tombstone_bytes.store(0, Ordering::Relaxed);
    }

    /// Whether damage keeps the segment from being compacted.
    pub fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Takes note that the segment is damaged.
    pub fn set_damaged(&self) {
        self.damaged.store(true, Ordering::Relaxed);
    }

    /// Bytes of puts, dead ones among them, that had expired when somebody looked last.
    pub fn expired_bytes(&self) -> u64 {
        self.expired_bytes.load(Ordering::Relaxed)
    }

    /// When it is time to look again what has expired, in milliseconds since 1970-01-01 UTC.
    pub fn look_at_ms(&self) -> u64 {
        self.look_at_ms.load(Ordering::Relaxed)
    }

    /// How far the segment had been written when somebody looked last what has expired.
    pub fn looked_until(&self) -> u64 {
        self.looked_until.load(Ordering::Relaxed)
    }

    /// Whether every put before [`Self::looked_until`] has expired for good.
    pub fn has_all_expired(&self) -> bool {
        self.all_expired.load(Ordering::Relaxed)
    }

    /// Takes note of what a look has found.
    pub fn set_expired(&self, look: &Look) {
        self.expired_bytes
            .store(look.expired_bytes, Ordering::Relaxed);
        self.look_at_ms.store(look.look_at_ms, Ordering::Relaxed);
        self.looked_until.store(look.until, Ordering::Relaxed);
        self.all_expired.store(look.all_expired, Ordering::Relaxed);
    }

    /// Whether the footer is known to be on the disk.
    pub fn footer_is_durable(&self) -> bool {
        self.footer_is_durable.load(Ordering::Relaxed)
    }

    /// Takes note that the footer has been synced.
    pub fn set_footer_durable(&self) {
        self.footer_is_durable.store(true, Ordering::Relaxed);
    }
}

impl LiveSegment {
    /// The location of the record at byte `offset` of this segment.
    #[inline(always)]
    pub fn location(&self, offset: u64) -> Result<Location> {
        let unit = (self.first_chunk << CHUNK_BITS) + offset / UNIT;
        Location::new(unit).ok_or_else(location_limit)
    }

    /// The byte offset in this segment that `location`, one of its own, stands for.
    #[inline(always)]
    pub fn offset(&self, location: Location) -> u64 {
        (location.raw() - (self.first_chunk << CHUNK_BITS)) * UNIT
    }

    /// Where the segment begins in the location space.
    pub fn first_chunk(&self) -> u32 {
        // A location has 36 bits, of which the chunk is the upper 20; a segment beyond gives no location.
        u32::try_from(self.first_chunk).unwrap_or(u32::MAX)
    }

    /// Offset behind the last of its records, as of now.
    pub fn content_end(&self) -> u64 {
        match &self.sealed {
            Some(sealed) => sealed.records_end,
            None => self.segment.readable_end(),
        }
    }

    /// Whether it has its footer; what is left of an earlier run counts as sealed before it is adopted.
    pub fn is_sealed(&self) -> bool {
        self.sealed.is_some()
    }

    /// What its records amount to; `None` while it is written.
    pub fn sealed(&self) -> Option<&Sealed> {
        self.sealed.as_ref()
    }

    /// Whether it is from before the store was opened.
    pub fn is_recovered(&self) -> bool {
        self.is_recovered
    }

    /// What of it is dead.
    pub fn dead(&self) -> Dead {
        self.usage.dead()
    }

    /// Returns when the footer of this segment, which is sealed, is on the disk. `path` is a name of its file.
    pub fn make_footer_durable(&self, vfs: &dyn Vfs, path: &Path) -> Result<()> {
        let Usage {
            footer_is_durable,
            footer_sync_failed,
            ..
        } = &*self.usage;
        if footer_is_durable.load(Ordering::Relaxed) {
            return Ok(());
        }
        // Whether an earlier run has met a sync that failed, nobody knows.
        #[cfg_attr(not(feature = "sabotage"), allow(unused_mut))]
        let mut is_doubtful = self.is_recovered || footer_sync_failed.load(Ordering::Relaxed);
        sabotage!(FooterTrusted, is_doubtful = false);
        let synced = match is_doubtful {
            true => writer::make_footer_durable(vfs, &self.segment, path),
            false => self.segment.sync(),
        };
        synced.inspect_err(|_| footer_sync_failed.store(true, Ordering::Relaxed))?;
        footer_is_durable.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The same segment in its sealed form.
    pub fn replaced_by(&self, segment: Arc<Segment>, sealed: Sealed) -> Self {
        Self {
            sealed: Some(sealed),
            is_recovered: self.is_recovered,
            _charge: self._charge.clone(),
            segment,
            usage: self.usage.clone(),
            first_chunk: self.first_chunk,
        }
    }
}
