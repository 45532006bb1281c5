//! Looking up a hash in a table, beside its writer.

use std::sync::atomic::Ordering;

use super::Location;
use super::bucket::{Lanes, Overflow, SLOTS, TAG_BITS};
use super::encoding::lane;
use super::table::{NO_REFERENCE, Position, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::page_list::WordLine;
use crate::memory::prefetch::prefetch;

/// An entry whose key was compared.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) position: Position,
    pub(super) location: Location,
    /// Bytes that its record, a put, takes on disk, where that was seen.
    pub(super) stored_bytes: Option<u64>,
}

/// What comparing a key with that of a candidate came to.
pub(super) enum Comparison {
    /// With the bytes that the record takes on disk, where that was seen.
    Match(Option<u64>),
    Other,
    /// The candidate's record is damaged; it may or may not be the one.
    Damaged(Error),
    /// The candidate's record could not be looked at.
    Failed(Error),
}

impl From<Result<bool>> for Comparison {
    fn from(matches: Result<bool>) -> Self {
        match matches {
            Ok(true) => Self::Match(None),
            Ok(false) => Self::Other,
            Err(error) if error.kind() == ErrorKind::Corrupt => Self::Damaged(error),
            Err(error) => Self::Failed(error),
        }
    }
}

/// An entry that may be the wanted one.
struct Candidate {
    position: Position,
    /// `None` for an entry that is only reserved.
    location: Option<Location>,
    /// If asked for.
    reference: u32,
}

/// A bucket's number, and where it is.
#[derive(Clone, Copy)]
pub(super) struct BucketPlace<'a> {
    pub(super) bucket: usize,
    pub(super) line: &'a WordLine,
}

/// A search for the entries that may have a hash, beside the table's writer: one after the other, so that what is done with each
/// stands in one place, and there can become a part of the search.
///
/// An entry may be found again if one moved meanwhile: one that was there throughout is never missed.
#[derive(Clone, Copy)]
struct Search<'t, const REFERENCES: bool> {
    table: &'t Table,
    home: BucketPlace<'t>,
    second: BucketPlace<'t>,
    tag: u64,
    stage: Stage,
    /// Slots of the stage's bucket that have not been found yet. There is hardly ever more than one, so that none is kept while
    /// another is looked at: the bucket is looked at again.
    unseen: u32,
    /// Whether entries of this home live in the stash.
    is_in_stash: bool,
    /// How many entries had moved when the search began.
    moves: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Home,
    Second,
    /// The bucket of the stash with this number.
    Stash(usize),
}

impl<'t, const REFERENCES: bool> Search<'t, REFERENCES> {
    #[inline(always)]
    fn new(table: &'t Table, hash: u64) -> Self {
        let (home, tag) = table.home(hash);
        let second = table.other(home, lane(tag));
        let (home, second) = (table.place(home), table.place(second));
        // Many lookups need it as well; so it comes at the same time as the first.
        prefetch(second.line);
        if REFERENCES {
            table.prefetch_references(home.bucket);
        }
        Self {
            table,
            home,
            second,
            tag,
            stage: Stage::Home,
            unseen: u32::MAX,
            is_in_stash: false,
            // Acquired, so that what is seen from now on is no older than this count.
            moves: table.moves.load(Ordering::Acquire),
        }
    }

    /// The next one, until there is none.
    #[inline(always)]
    fn next(&mut self) -> Option<Candidate> {
        loop {
            if self.stage == Stage::Home {
                let (candidate, lanes) = self.look(self.home, |lanes| !lanes.displaced());
                if candidate.is_some() {
                    return candidate;
                }
                self.is_in_stash = lanes.overflow(Overflow::Stash) > 0;
                if lanes.overflow(Overflow::Second) > 0 {
                    self.begin(Stage::Second);
                }
            }
            if self.stage == Stage::Second {
                let (candidate, _) = self.look(self.second, Lanes::displaced);
                if candidate.is_some() {
                    return candidate;
                }
            }
            if self.is_in_stash {
                let candidate;
                (candidate, self.stage, self.unseen) = look_into_stash(*self);
                if candidate.is_some() {
                    return candidate;
                }
            }
            let moves = self.table.moves.load(Ordering::Acquire);
            if moves == self.moves {
                return None;
            }
            self.moves = moves;
            self.begin(Stage::Home);
        }
    }

    #[inline(always)]
    fn begin(&mut self, stage: Stage) {
        self.stage = stage;
        self.unseen = u32::MAX;
    }

    /// The first unseen slot of a bucket with the tag, of those that `among` answers, and the bucket's lanes.
    #[inline(always)]
    fn look(
        &mut self,
        place: BucketPlace<'_>,
        among: impl Fn(&Lanes) -> u32,
    ) -> (Option<Candidate>, Lanes) {
        let table = self.table;
        let (lanes, candidate) = table.stable(|| {
            let lanes = Lanes::load(place.line);
            let slots = lanes.matches(lane(self.tag)) & self.unseen & among(&lanes);
            let candidate = table.candidate::<REFERENCES>(place, self.tag, &lanes, slots);
            (lanes, candidate)
        });
        if let Some(candidate) = &candidate {
            self.unseen = u32::MAX << candidate.position.slot << 1;
        }
        (candidate, lanes)
    }
}

/// The next one of the stash, of the search in this state, and the state behind it. Apart from the search, so that its state can stay in
/// registers.
#[cold]
fn look_into_stash<const REFERENCES: bool>(
    mut search: Search<'_, REFERENCES>,
) -> (Option<Candidate>, Stage, u32) {
    let (table, home) = (search.table, search.home.bucket);
    let stash = table.stash();
    if !matches!(search.stage, Stage::Stash(_)) {
        search.begin(Stage::Stash(stash.start));
    }
    let mut candidate = None;
    while candidate.is_none()
        && let Stage::Stash(bucket) = search.stage
        && bucket < stash.end
    {
        let of_home = |_: &Lanes| {
            let is_of_home = |&slot: &usize| table.stash_home(Position { bucket, slot }) == home;
            let slots = (0..SLOTS).filter(is_of_home);
            slots.fold(0, |mask, slot| mask | 1 << slot)
        };
        (candidate, _) = search.look(table.place(bucket), of_home);
        if candidate.is_none() {
            search.begin(Stage::Stash(bucket + 1));
        }
    }
    (candidate, search.stage, search.unseen)
}

impl Table {
    /// Calls `visit` with the location of every entry that may have `hash`, until it answers.
    #[inline(always)]
    pub(super) fn find<R>(
        &self,
        hash: u64,
        mut visit: impl FnMut(Location) -> Option<R>,
    ) -> Option<R> {
        let mut search = Search::<false>::new(self, hash);
        while let Some(candidate) = search.next() {
            let answer = candidate.location.and_then(&mut visit);
            if answer.is_some() {
                return answer;
            }
        }
        None
    }

    /// The entry with `hash` for which `compare`, given reference and location, says that it is the one.
    ///
    /// # Errors
    /// Any with which a comparison failed; that of damage only if no other entry is the one.
    #[inline(always)]
    pub(super) fn locate(
        &self,
        hash: u64,
        mut compare: impl FnMut(u32, Location) -> Comparison,
    ) -> Result<Option<Found>> {
        let mut damage = None;
        let mut search = Search::<true>::new(self, hash);
        while let Some(candidate) = search.next() {
            let Some(location) = candidate.location else {
                continue;
            };
            match compare(candidate.reference, location) {
                Comparison::Match(stored_bytes) => {
                    return Ok(Some(Found {
                        position: candidate.position,
                        location,
                        stored_bytes,
                    }));
                }
                Comparison::Other => {}
                Comparison::Damaged(error) => damage = Some(error),
                Comparison::Failed(error) => return Err(error),
            }
        }
        match damage {
            Some(damage) => Err(damage),
            None => Ok(None),
        }
    }

    /// The first entry that may have `hash` and whose location `is_it` accepts. References stay where they are: a line of memory that
    /// who only gives an entry another location need not wait for. For the writer.
    #[inline(always)]
    pub(super) fn first(
        &self,
        hash: u64,
        mut is_it: impl FnMut(Location) -> bool,
    ) -> Option<Found> {
        let mut search = Search::<false>::new(self, hash);
        while let Some(candidate) = search.next() {
            if let Some(location) = candidate.location.filter(|&location| is_it(location)) {
                return Some(Found {
                    position: candidate.position,
                    location,
                    stored_bytes: None,
                });
            }
        }
        None
    }

    /// The entry that may have `hash` and whose location and reference `is_it` accepts. One that is only reserved has no
    /// location.
    #[inline]
    pub(super) fn position_of(
        &self,
        hash: u64,
        is_it: impl Fn(Option<Location>, u32) -> bool,
    ) -> Option<Position> {
        let mut search = Search::<true>::new(self, hash);
        while let Some(candidate) = search.next() {
            if is_it(candidate.location, candidate.reference) {
                return Some(candidate.position);
            }
        }
        None
    }

    /// Whether the entry with `location` is at `position`, which may be of an earlier table.
    #[inline]
    pub(super) fn has(&self, position: Position, location: Location) -> bool {
        let Position { bucket, slot } = position;
        if bucket >= self.stash().end {
            return false;
        }
        let line = self.line(bucket);
        let lanes = Lanes::load(line);
        lanes.occupied() >> slot & 1 != 0
            && self.encoding().location(lanes.field(line, slot)) == Some(location)
    }

    /// Whether the entry at `position` is only reserved, and for the key that `reference` leads to. Without a key in memory that
    /// cannot be told.
    #[inline]
    pub(super) fn reserves(&self, position: Position, reference: u32) -> bool {
        let Position { bucket, slot } = position;
        if reference == NO_REFERENCE || self.reference(position) != reference {
            return false;
        }
        let line = self.line(bucket);
        let lanes = Lanes::load(line);
        lanes.occupied() >> slot & 1 != 0
            && self.encoding().location(lanes.field(line, slot)).is_none()
    }

    #[inline]
    pub(super) fn place(&self, bucket: usize) -> BucketPlace<'_> {
        let line = self.line(bucket);
        BucketPlace { bucket, line }
    }

    /// The first of `slots` whose whole tag is `tag`. Inside a version window.
    #[inline(always)]
    fn candidate<const REFERENCES: bool>(
        &self,
        place: BucketPlace<'_>,
        tag: u64,
        lanes: &Lanes,
        mut slots: u32,
    ) -> Option<Candidate> {
        while slots != 0 {
            let slot = slots.trailing_zeros() as usize;
            slots &= slots - 1;
            let field = lanes.field(place.line, slot);
            if self.encoding().upper_tag(field) == tag >> TAG_BITS {
                let bucket = place.bucket;
                let position = Position { bucket, slot };
                return Some(Candidate {
                    position,
                    location: self.encoding().location(field),
                    reference: if REFERENCES {
                        self.reference(position)
                    } else {
                        NO_REFERENCE
                    },
                });
            }
        }
        None
    }
}
