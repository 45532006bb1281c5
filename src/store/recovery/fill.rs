//! Fills the index: from an image and the log behind it, or from the whole log.

use std::sync::Arc;

use super::adoption::Adoptee;
use super::changes::{Change, Maker};
use super::graves::Graves;
use super::pipeline::{self, Sink};
use super::replay;
use super::room::Needed;
use super::survey::{Kept, Survey};
use super::tail::Tail;
use crate::error::{Error, ErrorKind, Result};
use crate::index::image::ShardSummary;
use crate::index::{Index, IndexOptions, SeededHash};
use crate::log::record::ALIGNMENT;
use crate::memory::budget::MemoryBudget;
use crate::memory::epoch;
use crate::store::image::{Image, LogSource};
use crate::store::live_segment::{LiveSegment, Sealed};
use crate::store::options::{OpenMode, Options};
use crate::store::report::RecoveryReport;
use crate::store::segment_set::{Recovered, SegmentSet, bytes_in};
use crate::vfs::Vfs;

/// A second thread is worth starting for so many bytes of log.
const WORTH_A_THREAD: u64 = 4 << 20;

/// What a key takes in the index, at least.
const BYTES_A_KEY: u64 = 7;

/// What the index is filled from.
pub struct Filling<'r> {
    /// Where the segments are.
    pub vfs: &'r dyn Vfs,
    /// How the store is opened.
    pub options: &'r Options,
    /// Which segments count, and how far.
    pub survey: &'r Survey,
    /// Segments that are still to be adopted; they are read as they are.
    pub waiting: &'r [Adoptee],
    /// Gets all segments that count.
    pub segments: &'r Arc<SegmentSet>,
}

/// The segments that count, as the survey lists them, and up to which offset each counts.
type Log = Vec<(Arc<LiveSegment>, u64)>;

impl Filling<'_> {
    /// The index from `image` and the log behind it, or from the whole log.
    pub fn fill(
        &self,
        image: Option<Image>,
        options: &IndexOptions,
        report: &mut RecoveryReport,
    ) -> Result<Index> {
        let log = self.open_log(image.as_ref())?;
        match image {
            Some(image) => self.read_image(&Arc::new(image), &log, options, report),
            // What was there fits again, also if it does so in another way; the reserve that is left serves reading.
            None => MemoryBudget::with_reserve(|| self.read_log(&log, options, report)),
        }
    }

    /// Opens all segments; those that the image knows get their places first.
    fn open_log(&self, image: Option<&Image>) -> Result<Log> {
        let kept = &self.survey.kept;
        let mut log = reserved_vec(kept.len())?;
        log.resize_with(kept.len(), || None);
        for known_ones in [true, false] {
            for (kept, entry) in kept.iter().zip(&mut log) {
                let known = image.and_then(|image| image.segment(kept.segment.id()));
                if known.is_some() != known_ones {
                    continue;
                }
                let place = known.map(|it| (it.first_chunk, it.dead));
                if self.is_growing(kept) {
                    let known = known.map(|it| it.first_chunk);
                    *entry = Some((self.open_growing(kept, image, known)?, kept.end));
                    continue;
                }
                let id = kept.segment.id();
                let mut waiting = self.waiting.iter();
                let segment = match waiting.find(|waiting| waiting.segment.id() == id) {
                    Some(waiting) => waiting.segment.clone(),
                    None => replay::open(self.vfs, kept, self.options)?,
                };
                let known = Recovered {
                    sealed: Sealed {
                        records_end: kept.content_end,
                        totals: kept.totals,
                    },
                    place,
                    footer_is_durable: self.survey.is_known_complete(id),
                };
                let guard = epoch::pin();
                let live = self.segments.add_recovered(segment, known, &guard)?;
                if kept.footer_is_missing {
                    live.usage.set_damaged();
                }
                *entry = Some((live, kept.end));
            }
        }
        let mut opened = reserved_vec(kept.len())?;
        opened.extend(log.into_iter().flatten());
        Ok(opened)
    }

    /// Whether another process may be writing the segment.
    fn is_growing(&self, kept: &Kept) -> bool {
        self.options.mode == OpenMode::ReadOnly && kept.unsealed.is_some()
    }

    /// Opens such a segment, in which more may be found later. Not mapped: it may be cut behind what counts.
    fn open_growing(
        &self,
        kept: &Kept,
        image: Option<&Image>,
        first_chunk: Option<u32>,
    ) -> Result<Arc<LiveSegment>> {
        let expected = self.options.segment_size.max(kept.segment.disk_bytes());
        let capacity = match (image, first_chunk) {
            (Some(image), Some(first)) => {
                let places = image.directory.segments.iter().map(|it| it.first_chunk);
                let next = places.filter(|place| *place > first).min();
                next.map_or(expected, |next| expected.min(bytes_in(next - first)))
            }
            _ => expected,
        };
        kept.segment.limit(kept.content_end);
        let segment = kept.segment.clone();
        self.segments
            .add_growing(segment, capacity, first_chunk, &epoch::pin())
    }

    fn read_log(
        &self,
        log: &Log,
        options: &IndexOptions,
        report: &mut RecoveryReport,
    ) -> Result<Index> {
        let Estimate { counted, most } = self.estimate_keys();
        Needed::by_keys(counted, 0).check(self.segments.budget(), self.options)?;
        let most = most.min(self.most_to_prepare_for()).max(counted);
        let prepared = IndexOptions {
            expected_keys: options.expected_keys.max(counted),
            ..options.clone()
        };
        let index =
            Index::with_room_for_at_most(most, &prepared, self.segments.clone(), self.budget())?;
        // Fresh segments come in commit order. Compaction keeps the sequence numbers of records, but not their places.
        let graves = self.survey.has_compacted().then(Graves::default);
        let maker = Maker {
            graves: graves.as_ref(),
            ..self.maker(&index, graves.is_some())
        };
        pipeline::make_changes(maker, self.deserves_thread(0), |sink| {
            self.read(log, None, &index, sink, report)
        })
        .map_err(|error| self.explain(error, &index, counted))?;
        if let Some(graves) = graves {
            graves.clear(&index, self.segments)?;
        }
        if options.expected_keys <= most {
            index.trim(|| true);
        }
        Ok(index)
    }

    /// Nothing is loaded here: each shard gets its part of the tail when it is first touched. Only a tail too long to be
    /// kept is worked in at once.
    fn read_image(
        &self,
        image: &Arc<Image>,
        log: &Log,
        options: &IndexOptions,
        report: &mut RecoveryReport,
    ) -> Result<Index> {
        report.merges_followed = image.moved.merges();
        Needed::by_image(image, self.options).check(self.segments.budget(), self.options)?;
        let mut log_of_source = reserved_vec(log.len())?;
        log_of_source.extend(log.iter().cloned());
        let source = LogSource::new(image.clone(), self.segments.clone(), log_of_source)?;
        let mut shards: Vec<ShardSummary> = reserved_vec(image.directory.shards.len())?;
        shards.extend(image.directory.shards.iter().map(|shard| shard.summary));
        let hasher = SeededHash::new(image.directory.seed);
        let index = Index::absent(
            options,
            hasher,
            self.segments.clone(),
            &shards,
            source.clone(),
            self.budget(),
        )?;
        let covered = image.directory.covered_sequence;
        let is_ordered = self.is_ordered_behind(image);
        let before = report.clone();
        let mut is_too_long = false;
        let mut tail = Some(Tail::new(&shards, self.segments.budget())?);
        let maker = self.maker(&index, true);
        let read = pipeline::make_changes(maker, self.deserves_thread(covered), |sink| {
            let mut wait = |change: &Change<'_>| match &mut tail {
                Some(waiting) if waiting.has_room() => waiting.push(change),
                _ if !is_ordered => {
                    is_too_long = true;
                    Err(Error::memory("the log behind the index image"))
                }
                full => {
                    if let Some(full) = full.take() {
                        source.set_tail(full);
                        index.make_all_present(|| true)?;
                    }
                    sink(change)
                }
            };
            self.read(log, Some(image), &index, &mut wait, report)
        });
        if is_too_long {
            drop(tail);
            *report = before;
            self.read_without_order(image, log, &index, report)?;
            return Ok(index);
        }
        read?;
        if let Some(mut tail) = tail {
            if !is_ordered {
                tail.sort()?;
            }
            source.set_tail(tail);
        }
        Ok(index)
    }

    /// Works in what lies behind `image` at once, in whatever order it comes.
    fn read_without_order(
        &self,
        image: &Image,
        log: &Log,
        index: &Index,
        report: &mut RecoveryReport,
    ) -> Result<()> {
        for (live, _) in log {
            if image.moved.is_output(live.segment.id()) {
                live.usage.forget_tombstones();
            }
        }
        index.make_all_present(|| true)?;
        let graves = Graves::default();
        let maker = Maker {
            graves: Some(&graves),
            ..self.maker(index, true)
        };
        let covered = image.directory.covered_sequence;
        pipeline::make_changes(maker, self.deserves_thread(covered), |sink| {
            self.read(log, Some(image), index, sink, report)
        })?;
        graves.clear(index, self.segments)
    }

    /// Whether the records behind `image` are read in commit order: merges since may have moved some of them.
    fn is_ordered_behind(&self, image: &Image) -> bool {
        let covered = image.directory.covered_sequence;
        let kept = self.survey.kept.iter();
        let mut unread = kept.filter(|kept| kept.totals.last_sequence > covered);
        !unread.any(|kept| image.moved.is_output(kept.segment.id()))
    }

    /// For so many keys room is made at once, if they may come: half of what the budget has.
    fn most_to_prepare_for(&self) -> u64 {
        let budget = self.segments.budget();
        match budget.growth_limit() {
            Some(limit) => limit.saturating_sub(budget.used()) / 2 / BYTES_A_KEY,
            None => u64::MAX,
        }
    }

    /// What an open says when memory has run out before the log was read: how much all of it takes, as far as can be told.
    fn explain(&self, error: Error, index: &Index, counted: u64) -> Error {
        let budget = self.segments.budget();
        if error.kind() != ErrorKind::Memory || budget.limit().is_none() {
            return error;
        }
        let so_far = index.statistics();
        let keys = counted.max(so_far.keys);
        let key_bytes = u128::from(so_far.key_bytes) * u128::from(keys);
        let key_bytes = key_bytes / u128::from(so_far.keys.max(1));
        Needed::by_keys(keys, key_bytes as u64).refusal(budget, self.options)
    }

    fn budget(&self) -> Arc<MemoryBudget> {
        self.segments.budget().clone()
    }

    fn maker<'m>(&'m self, index: &'m Index, may_know_newer: bool) -> Maker<'m> {
        Maker {
            index,
            segments: self.segments,
            location_bits: self.segments.location_bits(),
            may_know_newer,
            graves: None,
        }
    }

    fn read(
        &self,
        log: &Log,
        image: Option<&Image>,
        index: &Index,
        sink: &mut Sink<'_>,
        report: &mut RecoveryReport,
    ) -> Result<()> {
        let hash = |key: &[u8]| index.hash(key);
        let after = image.map_or(0, |image| image.directory.covered_sequence);
        for (kept, (live, _)) in self.survey.kept.iter().zip(log) {
            // Of what a merge wrote since, the image has the puts up to `after` and not what the tombstones take.
            let tombstones = image.and_then(|it| it.moved.tombstone_bytes(kept.segment.id()));
            let tombstones = if after == 0 || kept.totals.last_sequence > after {
                let counts_older = tombstones.is_some();
                replay::replay(kept, live, after, counts_older, &hash, sink, report)?
            } else {
                report.segments_from_image += 1;
                tombstones.unwrap_or(0)
            };
            live.usage.add_tombstones(tombstones);
        }
        Ok(())
    }

    fn deserves_thread(&self, after: u64) -> bool {
        let kept = self.survey.kept.iter();
        let unread = kept.filter(|kept| kept.totals.last_sequence > after);
        let bytes: u64 = unread.map(|kept| kept.content_end).sum();
        self.options.background_threads > 0 && bytes >= WORTH_A_THREAD
    }

    /// As many as the last footer counted, and at most one more for every put since.
    fn estimate_keys(&self) -> Estimate {
        let (mut counted, mut since) = (0, 0);
        for kept in self.survey.kept.iter().rev() {
            counted = kept.footer.map_or(0, |footer| footer.keys);
            if counted > 0 {
                break;
            }
            since += kept.totals.records.saturating_sub(kept.totals.tombstones);
        }
        // Whatever they say, every key has a record.
        let bytes: u64 = self.survey.kept.iter().map(|kept| kept.content_end).sum();
        let limit = bytes / ALIGNMENT;
        Estimate {
            counted: counted.min(limit),
            most: counted.saturating_add(since).min(limit),
        }
    }
}

/// How many keys a log holds.
struct Estimate {
    /// So many when its last footer was written.
    counted: u64,
    most: u64,
}

fn reserved_vec<T>(length: usize) -> Result<Vec<T>> {
    let mut vec = Vec::new();
    vec.try_reserve_exact(length)
        .map_err(|_| Error::memory("recovery"))?;
    Ok(vec)
}
