//! Decides, without changing anything, which segments and which part of them count.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::extent::{self, Extent, FirstReading};
use super::in_force::InForce;
use super::trouble::{Trouble, TroubleKind};
use crate::error::{Error, ErrorKind, Result};
use crate::log::footer::{FOOTER_LEN, Footer, Totals};
use crate::log::record::ALIGNMENT;
use crate::log::segment_header::{HEADER_LEN, Origin};
use crate::log::{OpenedSegment, ReadMode, Segment};
use crate::store::report::{DamagedSpan, RecoveryReport};
use crate::vfs::Vfs;

/// A segment that counts.
pub struct Kept {
    /// For reading by calls.
    pub segment: Arc<Segment>,
    /// For a segment that no footer ends: how far it counts.
    pub unsealed: Option<Extent>,
    /// Whether it had a footer, and records that may have been before that are missing. It stays as it is.
    pub footer_is_missing: bool,
    /// Up to where the segment is to be scanned: behind its footer, or to the beginning of its hints, which nothing but time
    /// depends on.
    pub end: u64,
    /// Where the last record that counts ends.
    pub content_end: u64,
    /// What the records that count amount to.
    pub totals: Totals,
    /// For a sealed segment.
    pub footer: Option<Footer>,
}

/// What counts, and what goes.
#[derive(Default)]
pub struct Survey {
    /// In the order of their base sequences, which for fresh segments is the commit order.
    pub kept: Vec<Kept>,
    /// Files that hold nothing that counts, in the order of their ids.
    pub rejected: Vec<PathBuf>,
    /// Files of segments that compaction has replaced.
    pub gone: Vec<PathBuf>,
    /// The manifest that counts, if there is one.
    pub in_force: Option<InForce>,
    /// Segments that it lists as complete and that are not there.
    pub missing_members: u64,
    /// The store's identity, unless there is no readable segment.
    pub store_id: Option<[u8; 16]>,
    /// Sequence number of the last record that counts.
    pub last_sequence: u64,
    /// Everything up to this sequence number is known to have been durable.
    pub proven: u64,
    /// The highest sequence number seen anywhere, whether it counts or not.
    pub highest_sequence: u64,
    /// Pairs with an expiry up to this moment have expired for good.
    pub expired_until_ms: u64,
    /// What is wrong with whole files, with headers and with the end of the log, for who wants to know each.
    pub troubles: Vec<Trouble>,
}

enum Candidate {
    Sealed {
        segment: Arc<Segment>,
        footer: Footer,
    },
    Unsealed {
        segment: Arc<Segment>,
        reading: FirstReading,
    },
    /// Not readable as a segment of this store. A segment gets its name when its header is durable, so no crash
    /// explains this: it is damage.
    Unusable { length: u64 },
}

impl Candidate {
    fn segment(&self) -> Option<&Arc<Segment>> {
        match self {
            Self::Sealed { segment, .. } | Self::Unsealed { segment, .. } => Some(segment),
            Self::Unusable { .. } => None,
        }
    }

    fn is_compacted(&self) -> bool {
        let segment = self.segment();
        segment.is_some_and(|segment| segment.header().origin == Origin::Compaction)
    }
}

/// Surveys the segment files `files`, given in the order of their ids. Damage to whole files and to headers goes
/// into `report`, as do torn bytes; other damage is found when the segments are replayed.
pub fn survey(
    vfs: &dyn Vfs,
    files: &[(u64, PathBuf)],
    report: &mut RecoveryReport,
) -> Result<Survey> {
    let mut candidates = Vec::new();
    let reserved = candidates.try_reserve_exact(files.len());
    reserved.map_err(|_| many_segments())?;
    let mut troubles = Vec::new();
    for (id, path) in files {
        let candidate = open(vfs, path, report, &mut troubles)?;
        candidates.push((*id, path.as_path(), candidate));
    }
    let strays = take_strays(&mut candidates)?;
    let store_id = identity(&candidates);
    let own = |candidate: &Candidate| {
        let header = candidate.segment().map(|segment| segment.header());
        header.is_some_and(|header| Some(header.store_id) == store_id)
    };
    let own_ones = candidates.iter().filter(|(_, _, it)| own(it));
    let own_ones = own_ones.filter_map(|(_, _, it)| it.segment());
    #[cfg_attr(not(feature = "sabotage"), allow(unused_mut))]
    let mut in_force = InForce::choose(own_ones.map(|segment| &**segment))?;
    let mut gone = Vec::new();
    let mut missing_members = 0;
    sabotage!(ReplacedKept, in_force = None);
    if let Some(in_force) = &in_force {
        let ids: Vec<u64> = candidates.iter().map(|(id, ..)| *id).collect();
        missing_members = in_force.missing(&ids);
        report.missing_segments += missing_members;
        // What cannot be read, or is not of this store, cannot be what was replaced.
        candidates.retain(|(id, path, candidate)| {
            let is_gone = own(candidate) && in_force.is_gone(*id);
            if is_gone {
                gone.push(path.to_path_buf());
            }
            !is_gone
        });
    }
    let proven = proven_durable(&candidates);
    let explained = in_force.as_ref().map_or(0, InForce::durable);
    let mut walk = Walk {
        survey: Survey {
            expired_until_ms: expired_until(&candidates, store_id),
            store_id,
            troubles,
            proven,
            highest_sequence: proven,
            gone,
            in_force,
            missing_members,
            ..Survey::default()
        },
        report,
        proven,
        explained,
        fresh_last: 0,
        previous_id: 0,
        gap_explained: false,
        torn: false,
    };
    let reserved = walk.survey.kept.try_reserve_exact(candidates.len());
    reserved.map_err(|_| many_segments())?;
    for position in 0..candidates.len() {
        let (id, path, candidate) = &candidates[position];
        let mut following = candidates[position + 1..].iter();
        let successor = following.find(|(_, _, candidate)| !candidate.is_compacted());
        let successor = successor.and_then(|(_, _, candidate)| candidate.segment());
        walk.step(*id, path, candidate, successor)?;
    }
    let mut survey = walk.survey;
    survey.last_sequence = survey.last_sequence.max(explained);
    survey.rejected.extend(strays);
    survey.highest_sequence = survey.highest_sequence.max(survey.last_sequence);
    survey
        .kept
        .sort_by_key(|kept| kept.segment.header().base_sequence);
    Ok(survey)
}

fn many_segments() -> Error {
    Error::memory("the list of segments")
}

impl Survey {
    /// That records up to this sequence number are not where they were written needs no other explanation than compaction.
    pub fn explained(&self) -> u64 {
        self.in_force.as_ref().map_or(0, InForce::durable)
    }

    /// Whether anything that counts was written by compaction.
    pub fn has_compacted(&self) -> bool {
        let mut headers = self.kept.iter().map(|kept| kept.segment.header());
        headers.any(|header| header.origin == Origin::Compaction)
    }

    /// Whether compaction has replaced the segment `id` of this store.
    pub fn is_replaced(&self, id: u64) -> bool {
        let in_force = self.in_force.as_ref();
        in_force.is_some_and(|in_force| in_force.is_gone(id))
    }

    /// Whether the segment `id` was complete, its footer durable, when compaction looked last.
    pub fn is_known_complete(&self, id: u64) -> bool {
        let in_force = self.in_force.as_ref();
        in_force.is_some_and(|in_force| in_force.is_known_complete(id))
    }
}

/// Takes out the segments in which nothing was ever written though the log went on elsewhere: a segment whose creation
/// failed may keep its name all the same, and what was to go into it then went into the one before.
fn take_strays(candidates: &mut Vec<(u64, &Path, Candidate)>) -> Result<Vec<PathBuf>> {
    let mut strays = Vec::new();
    let mut highest = 0;
    let mut position = 0;
    while let Some((_, path, candidate)) = candidates.get(position) {
        if let Candidate::Unsealed { segment, .. } = candidate
            && segment.header().base_sequence <= highest
            && segment.content_end()? <= HEADER_LEN as u64
        {
            strays.push(path.to_path_buf());
            candidates.remove(position);
            continue;
        }
        highest = highest.max(match candidate {
            Candidate::Sealed { footer, .. } => footer.totals.last_sequence,
            Candidate::Unsealed { reading, .. } => reading.highest,
            Candidate::Unusable { .. } => 0,
        });
        position += 1;
    }
    Ok(strays)
}

/// The store's identity: that of most segments, so that one which strayed in from elsewhere does not make strangers of
/// the others; of the first segment where that leaves a choice.
fn identity(candidates: &[(u64, &Path, Candidate)]) -> Option<[u8; 16]> {
    let segments = candidates.iter().rev();
    let headers = segments.filter_map(|(_, _, candidate)| Some(candidate.segment()?.header()));
    let mut counts = BTreeMap::new();
    let mut identity = None;
    for header in headers {
        let count = counts.entry(header.store_id).or_insert(0_u64);
        *count += 1;
        if identity.is_none_or(|(most, _)| *count >= most) {
            identity = Some((*count, header.store_id));
        }
    }
    identity.map(|(_, store_id)| store_id)
}

fn open(
    vfs: &dyn Vfs,
    path: &Path,
    report: &mut RecoveryReport,
    troubles: &mut Vec<Trouble>,
) -> Result<Candidate> {
    // Not mapped: an unsealed segment may still be cut and rewritten.
    match Segment::open(vfs, path, ReadMode::Pread) {
        Ok(OpenedSegment::Sealed {
            segment,
            footer,
            header_damage,
        }) => {
            if header_damage.is_some() {
                let length = HEADER_LEN as u64;
                report.add_damage(DamagedSpan::new(path, 0, length));
                troubles.push(Trouble::new(TroubleKind::Header, path, 0, length));
            }
            Ok(Candidate::Sealed { segment, footer })
        }
        Ok(OpenedSegment::Unsealed { segment }) => {
            let reading = extent::read(&segment)?;
            Ok(Candidate::Unsealed { segment, reading })
        }
        Ok(OpenedSegment::Headless { len, .. }) => Ok(Candidate::Unusable { length: len }),
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(Candidate::Unusable {
            length: file_len(vfs, path)?,
        }),
        Err(error) => Err(error),
    }
}

fn file_len(vfs: &dyn Vfs, path: &Path) -> Result<u64> {
    vfs.open(path, crate::vfs::Access::Read)
        .and_then(|file| file.len())
        .map_err(|error| Error::io("take the length", path, &error))
}

/// The highest sequence number that anything in the log proves to have been durable: what a segment's header
/// states, what a mark states, and the whole of a sealed segment.
fn proven_durable(candidates: &[(u64, &Path, Candidate)]) -> u64 {
    sabotage!(DamageCut, return 0);
    let mut proven = 0;
    for (_, _, candidate) in candidates {
        let Some(segment) = candidate.segment() else {
            continue;
        };
        proven = proven
            .max(segment.header().durable_sequence)
            .max(match candidate {
                Candidate::Sealed { footer, .. } => footer.totals.last_sequence,
                Candidate::Unsealed { reading, .. } => reading.proven,
                Candidate::Unusable { .. } => 0,
            });
    }
    proven
}

/// The latest moment of which any segment of the store says that pairs with an expiry up to it have expired.
fn expired_until(candidates: &[(u64, &Path, Candidate)], store_id: Option<[u8; 16]>) -> u64 {
    let moment = |candidate: &Candidate| {
        let header = candidate.segment()?.header();
        let sealed = match candidate {
            Candidate::Sealed { footer, .. } => footer.expired_until_ms,
            Candidate::Unsealed { .. } | Candidate::Unusable { .. } => 0,
        };
        (Some(header.store_id) == store_id).then_some(header.expired_until_ms.max(sealed))
    };
    let moments = candidates
        .iter()
        .filter_map(|(_, _, candidate)| moment(candidate));
    moments.max().unwrap_or(0)
}

/// The way along the segments in commit order.
struct Walk<'r> {
    survey: Survey,
    report: &'r mut RecoveryReport,
    proven: u64,
    /// Compaction explains that records up to this sequence number are not where they were written.
    explained: u64,
    /// The last sequence number of the fresh segments so far.
    fresh_last: u64,
    previous_id: u64,
    /// Whether the last file could not be used, so that missing sequence numbers need no other reason.
    gap_explained: bool,
    torn: bool,
}

impl Walk<'_> {
    fn step(
        &mut self,
        id: u64,
        path: &Path,
        candidate: &Candidate,
        successor: Option<&Arc<Segment>>,
    ) -> Result<()> {
        let previous_id = std::mem::replace(&mut self.previous_id, id);
        let segment = match candidate {
            Candidate::Unusable { length } => {
                self.damaged(TroubleKind::Unusable, path, *length);
                return Ok(());
            }
            Candidate::Sealed { segment, .. } | Candidate::Unsealed { segment, .. } => segment,
        };
        let header = segment.header();
        let fresh = header.origin == Origin::Fresh;
        let repeats = fresh && !self.torn && header.base_sequence <= self.fresh_last;
        let store_id = self.survey.store_id;
        if store_id.is_some_and(|store_id| store_id != header.store_id) {
            self.damaged(TroubleKind::OtherStore, path, segment.readable_end());
            return Ok(());
        }
        if repeats {
            self.damaged(TroubleKind::Repeats, path, segment.readable_end());
            return Ok(());
        }
        if !fresh {
            return self.keep_complete(path, segment, candidate, u64::MAX);
        }
        let last_sequence = self.fresh_last.max(self.explained);
        let gap = header.predecessor_sequence > last_sequence;
        if gap && !std::mem::take(&mut self.gap_explained) && !self.torn {
            if last_sequence >= self.proven {
                self.torn = true;
            } else {
                self.report.missing_segments += (id - previous_id).saturating_sub(1).max(1);
            }
        }
        if self.torn {
            return self.reject(path, segment, candidate);
        }
        // Nothing of this segment can be missing beyond what came before the next one: invalid bytes behind that
        // are a torn footer.
        let held = successor.map_or(u64::MAX, |next| next.header().predecessor_sequence);
        if self.survey.is_known_complete(id) {
            return self.keep_complete(path, segment, candidate, held);
        }
        self.keep(segment, candidate, self.proven.min(held), false)
    }

    /// Takes a segment that was durable as a whole, its footer included: what compaction wrote, which got its name when it was, and
    /// what the manifest lists as complete. If it is not whole, it is damaged. `held` is the last sequence number that can be in it.
    fn keep_complete(
        &mut self,
        path: &Path,
        segment: &Arc<Segment>,
        candidate: &Candidate,
        held: u64,
    ) -> Result<()> {
        let mut footer_is_missing = false;
        if let Candidate::Unsealed { reading, .. } = candidate {
            let extent = extent::measure(segment, reading, held)?;
            if extent.is_empty() {
                self.damaged(TroubleKind::Unusable, path, segment.readable_end());
                return Ok(());
            }
            footer_is_missing = !extent.has_footer && extent.totals.last_sequence < held;
            if footer_is_missing {
                let (offset, length) = (extent.end, FOOTER_LEN as u64);
                self.trouble(TroubleKind::FooterMissing, path, offset, length);
                // If there are invalid bytes, reading them tells of them.
                if reading.is_whole() {
                    let span = DamagedSpan::new(path, offset, length);
                    self.report.add_damage(span);
                }
            }
        }
        self.keep(segment, candidate, held, footer_is_missing)
    }

    fn damaged(&mut self, kind: TroubleKind, path: &Path, length: u64) {
        self.gap_explained = true;
        self.report.add_damage(DamagedSpan::new(path, 0, length));
        self.trouble(kind, path, 0, length);
    }

    fn trouble(&mut self, kind: TroubleKind, path: &Path, offset: u64, length: u64) {
        let trouble = Trouble::new(kind, path, offset, length);
        self.survey.troubles.push(trouble);
    }

    /// Gives up a segment that comes after the torn end of the log. Its sequence numbers are not used again.
    fn reject(&mut self, path: &Path, segment: &Arc<Segment>, candidate: &Candidate) -> Result<()> {
        let highest = match candidate {
            Candidate::Unsealed { reading, .. } => reading.highest,
            Candidate::Sealed { footer, .. } => footer.totals.last_sequence,
            Candidate::Unusable { .. } => 0,
        };
        self.survey.highest_sequence = self.survey.highest_sequence.max(highest);
        let content_end = segment.content_end()?;
        self.report.cut_bytes += content_end;
        self.trouble(TroubleKind::Torn, path, 0, content_end);
        self.survey.rejected.push(path.to_path_buf());
        Ok(())
    }

    fn keep(
        &mut self,
        segment: &Arc<Segment>,
        candidate: &Candidate,
        proven: u64,
        footer_is_missing: bool,
    ) -> Result<()> {
        let mut unsealed = None;
        let end;
        let mut sealed_with = None;
        let totals = match candidate {
            Candidate::Sealed { footer, .. } => {
                end = footer.records_end();
                sealed_with = Some(*footer);
                footer.totals
            }
            Candidate::Unusable { .. } => return Ok(()),
            Candidate::Unsealed { reading, .. } => {
                let extent = extent::measure(segment, reading, proven)?;
                let content_end = segment.content_end()?;
                if content_end > extent.end && !extent.has_footer {
                    let length = content_end - extent.end;
                    self.report.cut_bytes += length;
                    self.trouble(TroubleKind::Torn, segment.path(), extent.end, length);
                    let highest = self.survey.highest_sequence.max(reading.highest);
                    self.survey.highest_sequence = highest;
                }
                if extent.is_empty() {
                    self.survey.rejected.push(segment.path().to_path_buf());
                    return Ok(());
                }
                unsealed = Some(extent);
                end = extent.end.next_multiple_of(ALIGNMENT);
                extent.totals
            }
        };
        if segment.header().origin == Origin::Fresh {
            self.fresh_last = self.fresh_last.max(totals.last_sequence);
        }
        self.survey.last_sequence = self.survey.last_sequence.max(totals.last_sequence);
        self.survey.kept.push(Kept {
            segment: segment.clone(),
            end: match sealed_with {
                Some(Footer { hints_at: None, .. }) => segment.readable_end(),
                _ => end,
            },
            content_end: end,
            footer_is_missing,
            unsealed,
            totals,
            footer: sealed_with,
        });
        Ok(())
    }
}
