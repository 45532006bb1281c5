//! Lets a complete output take the place of the segments that it was made of.

use std::mem;
use std::sync::Arc;

use super::choice::Plan;
use super::output::Output;
use super::{Step, Work};
use crate::error::Result;
use crate::index::{Location, ShardSnapshot};
use crate::log::footer::{FOOTER_LEN, Footer};
use crate::log::record::{Head, Kind};
use crate::log::segment_header::HEADER_LEN;
use crate::log::segment_name;
use crate::log::writer::give_name;
use crate::memory::epoch;
use crate::store::commit_log::{CommitLog, Scope, is_shortage};
use crate::store::contents::Contents;
use crate::store::image::{MoveListWriter, Paused};
use crate::store::live_segment::{LiveSegment, Sealed};

/// So many entries are moved while what as many more touch in the index comes from memory.
const MOVED_TOGETHER: usize = 16;

/// Completes `output`, gives it its name and lets it take the place of the victims of `plan`; answers its length. Up to the
/// name nothing is changed but the output's own file, and the list of moves. No image is written meanwhile.
pub fn take_over(
    work: &Work<'_>,
    plan: &Plan,
    output: Output,
    images: &mut Paused<'_>,
) -> Step<u64> {
    let Output {
        mut writer,
        segment,
        moves,
        expired,
        list,
        ..
    } = output;
    let (shared, log) = (work.shared, work.log);
    let Contents {
        index, segments, ..
    } = &work.contents;
    let place = log.place();
    let id = segment.id();
    // First, as it gives memory back, and what follows may take long.
    writer.write_out()?;
    sabotage!(ReplacedDeletedEarly, remove_files(work, plan));
    supersede_durably(log)?;
    segment.sync()?;
    let footer = writer.seal(index.len())?;
    segment.sync()?;
    let readable = segment.reopen_sealed(&footer, place.options.read_mode)?;
    readable.make_readable();
    let length = footer.offset + FOOTER_LEN as u64;
    let is_listed = list.is_some_and(MoveListWriter::finish);
    let reservation = segments.reserve(length)?;
    // Nothing can fail once the output has its name.
    let widened = index.widen(reservation.location_bits());
    let named = widened.and_then(|()| work.check_open());
    named.inspect_err(|_| segments.give_back(&reservation))?;
    if let Err(error) = give_name(&*place.vfs, &place.directory, id) {
        segments.give_back(&reservation);
        // What is known of the directory is what fresh segments depend on, too.
        return Err(match is_shortage(&error) {
            true => error.into(),
            false => log.stop(error).into(),
        });
    }
    // They name segments that are gone.
    images.forget(id, is_listed);
    let sealed = Sealed {
        records_end: footer.records_end(),
        totals: footer.totals,
    };
    let live = segments.add_output(readable, sealed, reservation, &epoch::pin());
    place.clock.recorded(live.segment.header().expired_until_ms);
    let moved =
        move_entries(work, plan, &live, &footer, moves.iter()).and_then(|()| match plan.drops {
            true => remove_all_entries(work, plan),
            false => remove_entries(work, plan, expired.iter()),
        });
    // The victims are gone as far as the disk is concerned, and must not come back by another manifest.
    moved.inspect_err(|error| shared.compactor.give_up(error))?;
    let guard = epoch::pin();
    for victim in &plan.victims {
        segments.remove(victim.segment.id(), &guard);
    }
    drop(guard);
    remove_files(work, plan);
    log.count_sealed(length);
    Ok(length)
}

/// Makes durable what superseded the records that were left behind: a power loss must not take both.
fn supersede_durably(log: &CommitLog) -> Result<()> {
    sabotage!(CompactedAheadOfLog, return Ok(()));
    log.sync(Scope::Everything)
}

/// A put that has been copied.
struct Moved {
    from: Location,
    hash: u64,
    offset: u64,
    head: Head,
}

/// Lets the index refer to the records in `live` instead of those that they were copied from, unless they have been
/// superseded since.
fn move_entries(
    work: &Work<'_>,
    plan: &Plan,
    live: &Arc<LiveSegment>,
    footer: &Footer,
    mut moves: impl Iterator<Item = (usize, u64)>,
) -> Result<()> {
    let index = &work.contents.index;
    let mut scratch = Vec::new();
    let mut offset = HEADER_LEN as u64;
    let (mut near, mut coming): (Vec<Moved>, Vec<Moved>) = Default::default();
    loop {
        // A new guard each time, so that memory that moving has freed may be given back.
        let guard = epoch::pin();
        while coming.len() < MOVED_TOGETHER && offset < footer.records_end() {
            let (head, key) = live.segment.head_and_key_at(offset, &mut scratch)?;
            match head.kind {
                Kind::Put => {
                    let Some((victim, from)) = moves.next() else {
                        break;
                    };
                    let put = Moved {
                        from: plan.victims[victim].location(from)?,
                        hash: index.hash(key),
                        offset,
                        head,
                    };
                    index.prefetch_search(&guard, put.hash);
                    coming.push(put);
                }
                Kind::Tombstone => live.usage.bury(Some(&head)),
                Kind::Mark | Kind::Footer | Kind::Hints | Kind::Manifest => {}
            }
            offset += head.total_len;
        }
        for put in near.drain(..) {
            let to = live.location(put.offset)?;
            match index.occupied_at(&guard, put.hash, put.from, put.head.key_len) {
                Some(entry) => {
                    entry.replace(to);
                    // Whoever brings keys into memory does not come to this segment. Where that fails the key is
                    // read from the disk.
                    let key = live.segment.key_at(put.offset, &mut scratch)?;
                    let _ = index.supply_key(&guard, put.hash, key, to);
                }
                None => live.usage.bury(Some(&put.head)),
            }
        }
        if coming.is_empty() {
            return Ok(());
        }
        mem::swap(&mut near, &mut coming);
    }
}

/// Takes the puts at these places, which have expired, out of the index, unless they have been superseded since.
fn remove_entries(
    work: &Work<'_>,
    plan: &Plan,
    expired: impl Iterator<Item = (usize, u64)>,
) -> Result<()> {
    let index = &work.contents.index;
    let mut scratch = Vec::new();
    for (victim, offset) in expired {
        let live = &plan.victims[victim];
        let guard = epoch::pin();
        let key = live.segment.key_at(offset, &mut scratch)?;
        let location = live.location(offset)?;
        let entry = index.occupied_at(&guard, index.hash(key), location, key.len());
        if let Some(entry) = entry {
            entry.remove();
        }
    }
    Ok(())
}

/// Takes all entries that refer to the victims, whose puts have expired, out of the index. Goes through the index, and reads nothing of
/// the victims where keys are in memory.
fn remove_all_entries(work: &Work<'_>, plan: &Plan) -> Result<()> {
    let Contents {
        index, segments, ..
    } = &work.contents;
    let is_victim = |id: u64| plan.victims.iter().any(|it| it.segment.id() == id);
    let mut shard = ShardSnapshot::default();
    let (mut scratch, mut record) = (Vec::new(), Vec::new());
    let mut next = Some(0);
    while let Some(hash) = next {
        next = index.snapshot_shard(&epoch::pin(), hash, &mut shard)?;
        for entry in shard.entries() {
            let guard = epoch::pin();
            let Some(live) = segments.find(entry.location, &guard) else {
                continue;
            };
            if !is_victim(live.segment.id()) {
                continue;
            }
            let key = match shard.key(*entry, &mut scratch)? {
                Some(key) => key,
                None => {
                    let offset = live.offset(entry.location);
                    let view = live.segment.record(offset, &mut record)?;
                    view.verify()?;
                    view.key()
                }
            };
            let hash = index.hash(key);
            if let Some(entry) = index.occupied_at(&guard, hash, entry.location, key.len()) {
                entry.remove();
            }
        }
    }
    Ok(())
}

/// Removes the files of the victims. What stays behind is removed by the next open.
fn remove_files(work: &Work<'_>, plan: &Plan) {
    let place = work.log.place();
    for victim in &plan.victims {
        let name = segment_name::file_name(victim.segment.id());
        let _ = place.vfs.remove(&place.directory.join(name));
    }
}
