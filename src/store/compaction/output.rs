//! Writes what is left of some segments into a new one, which nobody knows of yet.

use std::sync::Arc;

use super::choice::Plan;
use super::merge::{Found, Merge, unreadable};
use super::moves::Moves;
use super::pace::Pace;
use super::{Step, Stop, Work};
use crate::error::Result;
use crate::index::Index;
use crate::log::manifest::{Manifest, Member};
use crate::log::record::{ALIGNMENT, Fields, Kind, MAX_HEAD_LEN};
use crate::log::segment_header::{HEADER_LEN, Origin, SegmentHeader};
use crate::log::writer::{Growth, exact_size};
use crate::log::{Segment, SegmentWriter};
use crate::memory::epoch;
use crate::store::image::{MoveListWriter, SegmentName};
use crate::store::live_segment::LiveSegment;
use crate::store::segment_set::SegmentSet;

/// After so many bytes the output is synced, so that the last sync has not all to write, and the pace is looked at.
const SYNC_BYTES: u64 = 16 << 20;
const PACE_BYTES: u64 = 256 << 10;

/// A segment that is being written.
pub struct Output {
    /// Its writer.
    pub writer: SegmentWriter,
    /// For reading what is written.
    pub segment: Arc<Segment>,
    /// Where its puts come from.
    pub moves: Moves,
    /// Puts that have expired, and are not in it.
    pub expired: Moves,
    /// For who opens the store from the image that there is, if there is one.
    pub list: Option<MoveListWriter>,
    /// Bytes read to write it.
    pub bytes_read: u64,
}

impl Output {
    /// Begins the segment `id` that is to replace the victims of `plan`, where the log may have `successors` ready that are no members
    /// yet; what becomes of the victims' records is listed if `has_image`.
    pub fn begin(
        work: &Work<'_>,
        plan: &Plan,
        (id, successors): (u64, Vec<u64>),
        has_image: bool,
    ) -> Result<Self> {
        let place = work.log.place();
        let manifest = manifest(&work.contents.segments, plan, id, &successors)?;
        let victims = plan.victims.iter();
        let base = victims.clone().map(|it| it.segment.header().base_sequence);
        let header = SegmentHeader {
            origin: Origin::Compaction,
            salt: work.log.salt()?,
            store_id: place.store_id,
            segment_id: id,
            base_sequence: base.min().unwrap_or(1),
            predecessor_sequence: 0,
            durable_sequence: work.log.durable_sequence(),
            expired_until_ms: place.clock.expired_until_ms(),
        };
        let kept = victims.filter(|_| !plan.drops);
        let records: u64 = kept.clone().filter_map(records).sum();
        let content: u64 = kept.map(|live| live.content_end()).sum();
        // A record's sequence number may take more bytes than before.
        let grown = records * ALIGNMENT;
        let manifest_len = MAX_HEAD_LEN + manifest.encode()?.len();
        let size = exact_size(content + grown + (manifest_len as u64).next_multiple_of(ALIGNMENT));
        let read_mode = place.options.read_mode;
        let (vfs, directory) = (&*place.vfs, &place.directory);
        let growth = Growth::Whole;
        let (writer, segment) =
            SegmentWriter::create_unnamed(vfs, directory, &header, size, growth, read_mode)?;
        let budget = work.contents.segments.budget();
        let mut writer = writer.within(budget.clone());
        writer.append_manifest(&manifest)?;
        let list = has_image.then(|| {
            let name = |header: &SegmentHeader| SegmentName {
                id: header.segment_id,
                salt: header.salt,
            };
            let sources = plan.victims.iter().map(|it| name(it.segment.header()));
            let sources: Vec<_> = sources.collect();
            let (vfs, store_id) = (place.vfs.clone(), &place.store_id);
            let budget = budget.clone();
            MoveListWriter::begin(vfs, directory, store_id, name(&header), &sources, budget)
        });
        Ok(Self {
            list,
            writer,
            segment,
            moves: Moves::new(plan.victims.len(), budget.clone()),
            expired: Moves::new(plan.victims.len(), budget.clone()),
            bytes_read: 0,
        })
    }

    /// Copies what the index refers to, and the tombstones that are still needed. Stops where `work` says so.
    pub fn fill(&mut self, work: &Work<'_>, plan: &Plan) -> Step<()> {
        let vfs = &*work.log.place().vfs;
        let mut pace = Pace::new(work.shared.options.compaction_bytes_per_second, vfs);
        let (mut paced, mut synced) = (0, 0);
        let mut merge = Merge::new(&plan.victims, &work.contents.index)?;
        let mut scratch = Vec::new();
        while let Some(found) = merge.next()? {
            self.bytes_read += found.length;
            let live = &plan.victims[found.victim];
            let is_put = found.kind == Kind::Put;
            if is_put && !is_live(&work.contents.index, live, &found)? {
                self.leave_behind(&found);
            } else {
                // An expired put hides what was under its key before, as a tombstone does, and becomes one.
                let has_expired = work.log.place().clock.has_expired(found.expires_at_ms);
                if has_expired {
                    self.expired.push(found.victim, found.offset)?;
                    self.leave_behind(&found);
                    sabotage!(ExpiredDropped, continue);
                }
                let is_tombstone = !is_put || has_expired;
                if !is_tombstone {
                    self.copy(live, &found, Kind::Put, &mut scratch)?;
                } else if found.sequence > plan.tombstones_until {
                    self.copy(live, &found, Kind::Tombstone, &mut scratch)?;
                }
            }
            let done = self.bytes_read + self.writer.end();
            if done - paced >= PACE_BYTES {
                work.check()?;
                pace.count(done - paced, vfs, || work.check().is_ok());
                paced = done;
            }
            if self.writer.end() - synced >= SYNC_BYTES {
                self.segment.sync()?;
                synced = self.writer.end();
            }
        }
        Ok(())
    }

    fn copy(
        &mut self,
        live: &Arc<LiveSegment>,
        found: &Found,
        kind: Kind,
        scratch: &mut Vec<u8>,
    ) -> Step<()> {
        let record = live.segment.record(found.offset, scratch);
        let record = record.map_err(|error| unreadable(live, error))?;
        // The very bytes that get a new checksum.
        let verified = record.verify();
        #[cfg(feature = "sabotage")]
        let verified = verified.or_else(|error| {
            match crate::sabotage::is_on(crate::sabotage::Fault::DamageLaundered) {
                true => Ok(()),
                false => Err(error),
            }
        });
        verified.map_err(|error| Stop::Damaged(live.clone(), error))?;
        let offset = self.writer.append(&Fields {
            kind,
            // All of its batch is durable.
            continues: false,
            follows_durable: false,
            expires_at_ms: record.expires_at_ms().filter(|_| kind == Kind::Put),
            sequence: record.sequence(),
            key: record.key(),
            value: match kind {
                Kind::Put => record.value(),
                _ => &[],
            },
        })?;
        if kind == Kind::Put {
            self.moves.push(found.victim, found.offset)?;
        }
        match &mut self.list {
            Some(list) if kind == Kind::Put => list.moved(found.victim, found.offset, offset),
            Some(list) => list.tombstone(self.writer.end() - offset),
            None => {}
        }
        Ok(())
    }

    /// Lists that nothing of the victims of `plan` is copied. Nothing but the list depends on reading them.
    pub fn leave_all_behind(&mut self, work: &Work<'_>, plan: &Plan) -> Result<()> {
        let Some(list) = &mut self.list else {
            return Ok(());
        };
        for (number, live) in plan.victims.iter().enumerate() {
            work.check()?;
            let mut offset = HEADER_LEN as u64;
            while offset < live.content_end() {
                let Ok(head) = live.segment.head_at(offset) else {
                    list.give_up();
                    return Ok(());
                };
                if head.kind == Kind::Put {
                    list.left_behind(number, offset, head.key_len);
                }
                offset += head.total_len;
            }
        }
        Ok(())
    }

    fn leave_behind(&mut self, found: &Found) {
        if let Some(list) = &mut self.list {
            list.left_behind(found.victim, found.offset, found.key_len);
        }
    }
}

fn records(live: &Arc<LiveSegment>) -> Option<u64> {
    live.sealed().map(|sealed| sealed.totals.records)
}

fn is_live(index: &Index, live: &LiveSegment, found: &Found) -> Result<bool> {
    let location = live.location(found.offset)?;
    Ok(index.refers_to(&epoch::pin(), found.hash, location))
}

/// What is there besides the victims and the segment `id`, and before it, and the `successors` of the active segment.
fn manifest(segments: &SegmentSet, plan: &Plan, id: u64, successors: &[u64]) -> Result<Manifest> {
    let is_victim = |other: u64| plan.victims.iter().any(|it| it.segment.id() == other);
    let members = segments.members()?;
    let others = members
        .iter()
        .filter(|live| live.segment.id() < id && !is_victim(live.segment.id()));
    let mut members: Vec<Member> = others
        .map(|live| Member {
            id: live.segment.id(),
            is_complete: live.sealed().is_some() && live.usage.footer_is_durable(),
        })
        .collect();
    sabotage!(SuccessorUnlisted, return Ok(Manifest { members }));
    for &id in successors {
        if let Err(position) = members.binary_search_by_key(&id, |member| member.id) {
            let is_complete = false;
            members.insert(position, Member { id, is_complete });
        }
    }
    Ok(Manifest { members })
}
