//! Which segments to compact, and which tombstones may go then.
//!
//! The benefit of a segment is what it frees, times its age, over what reading and writing it costs: (1 − u) · age / (1 + u)
//! where u is the live part (Rosenblum and Ousterhout, "The Design and Implementation of a Log-Structured File System",
//! 1992). Age counts in sequence numbers, which compaction keeps.
//!
//! Segments of which all puts have expired go whole and at once, whatever the log's share of garbage, as that costs nothing.
//!
//! A tombstone may go when no segment outside the merge has a dead put with a smaller sequence number: all older puts of its
//! key are dead, and each segment counts its dead exactly.

use std::sync::Arc;

use crate::log::segment_header::{HEADER_LEN, Origin};
use crate::store::live_segment::LiveSegment;
use crate::store::options::{KeyStorage, Options};

/// At most so many segments are merged at a time: each is read through a window of its own.
const MOST_VICTIMS: usize = 16;
/// Compaction pays where it frees one part in so many of a segment.
pub const LEAST_PART: u64 = 16;
/// A segment is small if it has at most one part in so many of the usual size, and so many small ones are merged.
const SMALL_PART: u64 = 8;
const SMALL_ONES: usize = 8;

/// What is compacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// Enough to keep the log below its share of garbage.
    Bound,
    /// All that pays of the segments with ids below this one: so that it ends, whatever is written meanwhile.
    All(u64),
}

/// A merge.
pub struct Plan {
    /// The segments that are replaced.
    pub victims: Vec<Arc<LiveSegment>>,
    /// Tombstones in them go unless their sequence number is higher.
    pub tombstones_until: u64,
    /// Bytes of all segments that are worth merging now, these among them.
    pub wanted_bytes: u64,
    /// Nothing in them is needed any more: every put has expired or is dead, and every tombstone may go.
    pub drops: bool,
}

impl Plan {
    /// Whether there are tombstones in any of the segments, or puts that may have become as good as one by expiring.
    pub fn has_tombstones(&self) -> bool {
        let mut sealed = self.victims.iter().filter_map(|live| live.sealed());
        let mut segments = self.victims.iter().map(|live| &live.segment);
        sealed.any(|sealed| sealed.totals.tombstones > 0)
            || segments.any(|segment| segment.may_expire())
    }
}

/// Segments with dead puts, as far as tombstones wait for them.
struct Blockers {
    /// Segment id and lowest sequence number, by rising sequence numbers.
    lowest: Vec<(u64, u64)>,
    /// Whether whatever died for a record of a sealed segment is counted as dead: if not, every tombstone stays.
    kills_are_counted: bool,
}

impl Blockers {
    fn new(members: &[Arc<LiveSegment>], kills_are_counted: bool) -> Self {
        let blocking = members.iter().filter(|live| live.dead().puts > 0);
        let mut lowest: Vec<_> = blocking
            .map(|live| (live.segment.id(), first_sequence(live)))
            .collect();
        lowest.sort_unstable_by_key(|(_, sequence)| *sequence);
        Self {
            lowest,
            kills_are_counted,
        }
    }

    /// Up to which sequence number tombstones may go if the segments that `is_victim` accepts are merged.
    fn tombstones_until(&self, is_victim: impl Fn(u64) -> bool) -> u64 {
        sabotage!(TombstonesDropped, return u64::MAX);
        if !self.kills_are_counted {
            return 0;
        }
        let mut others = self.lowest.iter().filter(|(id, _)| !is_victim(*id));
        others.next().map_or(u64::MAX, |(_, sequence)| *sequence)
    }
}

fn first_sequence(live: &LiveSegment) -> u64 {
    match live.sealed() {
        Some(sealed) if sealed.totals.records > 0 => sealed.totals.first_sequence,
        _ => live.segment.header().base_sequence,
    }
}

/// A segment that may be compacted.
struct Candidate<'m> {
    live: &'m Arc<LiveSegment>,
    size: u64,
    /// What compacting it alone frees.
    reclaimable: u64,
    first_sequence: u64,
    is_small: bool,
    is_empty: bool,
    /// Tombstones elsewhere wait for it.
    blocks: bool,
}

impl Candidate<'_> {
    fn left(&self) -> u64 {
        self.size.saturating_sub(self.reclaimable)
    }

    fn pays(&self) -> bool {
        self.reclaimable * LEAST_PART >= self.size && self.reclaimable > 0
    }

    fn benefit(&self, newest_sequence: u64) -> f64 {
        let last = self.live.sealed().map_or(0, |it| it.totals.last_sequence);
        let age = newest_sequence.saturating_sub(last) as f64 + 1.0;
        let live = self.left() as f64 / self.size as f64;
        (1.0 - live) * age / (1.0 + live)
    }
}

/// What to merge next among `members`, which are in the order of their ids, if anything; `newest_sequence` is that of the
/// last record. Tombstones are kept unless `kills_are_counted`: whatever died for a record of a sealed segment is
/// counted as dead.
pub fn choose(
    members: &[Arc<LiveSegment>],
    aim: Aim,
    options: &Options,
    newest_sequence: u64,
    kills_are_counted: bool,
) -> Option<Plan> {
    let blockers = Blockers::new(members, kills_are_counted);
    let below = match aim {
        Aim::Bound => u64::MAX,
        Aim::All(below) => below,
    };
    if options.key_storage == KeyStorage::InMemory
        && let Some(plan) = expired_ones(members, below, &blockers)
    {
        return Some(plan);
    }
    let content: u64 = members.iter().map(|live| live.content_end()).sum();
    let dead: u64 = members.iter().map(|live| garbage(live)).sum();
    let segment_size = options.usual_segment_size(content);
    let mut blocked_bytes = 0;
    let mut blocked_until = 0;
    let mut candidates = Vec::new();
    for live in eligible(members) {
        let id = live.segment.id();
        let Some(sealed) = live.sealed() else {
            continue;
        };
        let dead = live.dead();
        let may_go = blockers.tombstones_until(|it| it == id) >= sealed.totals.last_sequence;
        let mut reclaimable = dead.put_bytes;
        if may_go {
            reclaimable += dead.tombstone_bytes;
        } else {
            blocked_bytes += dead.tombstone_bytes;
            blocked_until = blocked_until.max(sealed.totals.last_sequence);
        }
        let expired = garbage(live) - dead.bytes();
        reclaimable += expired;
        blocked_bytes += if may_go { 0 } else { expired };
        let size = sealed.records_end.saturating_sub(HEADER_LEN as u64).max(1);
        candidates.push(Candidate {
            live,
            size,
            reclaimable: reclaimable.min(size),
            first_sequence: first_sequence(live),
            is_small: size <= segment_size / SMALL_PART,
            is_empty: sealed.totals.records == 0,
            blocks: dead.puts > 0,
        });
    }
    for candidate in &mut candidates {
        candidate.blocks &= candidate.first_sequence < blocked_until;
    }
    let wanted = wanted(
        candidates,
        aim,
        below,
        is_above_bound(content, dead, options),
        blocked_bytes,
        newest_sequence,
    );
    let victims = pack(&wanted, segment_size)?;
    let ids: Vec<u64> = victims.iter().map(|live| live.segment.id()).collect();
    Some(Plan {
        tombstones_until: blockers.tombstones_until(|id| ids.contains(&id)),
        wanted_bytes: wanted.iter().map(|candidate| candidate.size).sum(),
        victims,
        drops: false,
    })
}

/// The segments with ids below `below` of which nothing is needed any more, if there is one with something in it. An expired put has to
/// stay, as the tombstone that it is, as long as a dead put with a smaller sequence number is left elsewhere.
fn expired_ones(members: &[Arc<LiveSegment>], below: u64, blockers: &Blockers) -> Option<Plan> {
    let meant = eligible(members).filter(|live| live.segment.id() < below);
    let (mut victims, mut empty) = (Vec::new(), Vec::new());
    for live in meant {
        let usage = &live.usage;
        let sealed = live.sealed()?;
        if sealed.totals.records == 0 {
            empty.push(live.clone());
        } else if usage.has_all_expired() && usage.looked_until() == sealed.records_end {
            victims.push(live.clone());
        }
    }
    let last = |live: &LiveSegment| live.sealed().map_or(0, |it| it.totals.last_sequence);
    loop {
        let before = victims.len();
        let is_victim = |id: u64| victims.iter().any(|it| it.segment.id() == id);
        let until = blockers.tombstones_until(is_victim);
        // Those that stay may hold dead puts that the others have to wait for.
        victims.retain(|live| last(live) <= until);
        if victims.is_empty() {
            return None;
        }
        if victims.len() == before {
            break;
        }
    }
    victims.append(&mut empty);
    Some(Plan {
        tombstones_until: u64::MAX,
        wanted_bytes: victims.iter().map(|live| live.content_end()).sum(),
        victims,
        drops: true,
    })
}

/// Bytes of dead records, and about those of expired ones.
pub fn garbage(live: &LiveSegment) -> u64 {
    let dead = live.dead().bytes();
    let others = live.content_end().saturating_sub(dead);
    dead + live.usage.expired_bytes().min(others)
}

/// Whether the log will soon be above its bound: what a merge writes before it frees anything needs room, and what is
/// allocated for the next records takes some.
fn is_above_bound(content: u64, dead: u64, options: &Options) -> bool {
    let live = u128::from(content.saturating_sub(dead));
    let percent = u128::from(options.space_amplification);
    let room = u128::from(2 * options.usual_segment_size(content)) * 100;
    // Where segments are large beside the store, most of the garbage is left for later nevertheless.
    let room = room.min(live * percent.saturating_sub(100) / 4);
    u128::from(content) * 100 + room > live * percent
}

/// The sealed segments that may be merged. A fresh one is not if another fresh one before it has no durable footer: how far
/// that counts is told by the one behind it.
fn eligible(members: &[Arc<LiveSegment>]) -> impl Iterator<Item = &Arc<LiveSegment>> {
    let mut all_sealed = true;
    members.iter().filter(move |live| {
        let fresh = live.segment.header().origin == Origin::Fresh;
        if fresh && live.sealed().is_none() {
            all_sealed = false;
        }
        live.sealed().is_some() && !live.usage.is_damaged() && (all_sealed || !fresh)
    })
}

/// Those of `candidates` that are worth merging and have ids below `below`, the most wanted first.
fn wanted(
    candidates: Vec<Candidate<'_>>,
    aim: Aim,
    below: u64,
    above_bound: bool,
    blocked_bytes: u64,
    newest_sequence: u64,
) -> Vec<Candidate<'_>> {
    let is_meant = |it: &Candidate<'_>| it.live.segment.id() < below;
    let small_ones = candidates.iter().filter(|it| it.is_small && is_meant(it));
    let small_ones = small_ones.count();
    let empty_ones = candidates.iter().filter(|it| it.is_empty).count();
    let merges_small_ones = small_ones >= SMALL_ONES;
    let unblocks = |candidate: &Candidate<'_>| {
        candidate.blocks && blocked_bytes * LEAST_PART >= candidate.size
    };
    let (mut wanted, others): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|candidate| {
        let pays = match aim {
            Aim::Bound => above_bound && (candidate.pays() || unblocks(candidate)),
            Aim::All(_) => candidate.pays() || unblocks(candidate),
        };
        let wanted = pays && !candidate.is_empty || merges_small_ones && candidate.is_small;
        wanted && is_meant(candidate)
    });
    match aim {
        // From the oldest on, so that nothing is left that tombstones wait for.
        Aim::All(_) => wanted.sort_by_key(|candidate| candidate.first_sequence),
        Aim::Bound => {
            let benefit = |it: &Candidate<'_>| it.benefit(newest_sequence);
            wanted.sort_by(|one, other| benefit(other).total_cmp(&benefit(one)));
            // Tombstones that wait do not become so many that they matter.
            if let Some(oldest) = (0..wanted.len())
                .filter(|&it| unblocks(&wanted[it]))
                .min_by_key(|&it| wanted[it].first_sequence)
            {
                wanted[..=oldest].rotate_right(1);
            }
        }
    }
    // What holds nothing but a manifest vanishes with the next merge.
    if !wanted.is_empty() || empty_ones > 1 {
        wanted.extend(others.into_iter().filter(|candidate| candidate.is_empty));
    }
    wanted
}

/// The first of `wanted` and as many others as make one segment together.
fn pack(wanted: &[Candidate<'_>], segment_size: u64) -> Option<Vec<Arc<LiveSegment>>> {
    let mut victims = Vec::new();
    let mut size = 0;
    for candidate in wanted {
        if victims.len() == MOST_VICTIMS {
            break;
        }
        if victims.is_empty() || size + candidate.left() <= segment_size {
            size += candidate.left();
            victims.push(candidate.live.clone());
        }
    }
    (!victims.is_empty()).then_some(victims)
}
