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
}

/// What comparing a key with that of a candidate came to.
pub(super) enum Comparison {
    Match,
    Other,
    /// The candidate's record is damaged; it may or may not be the one.
    Damaged(Error),
    /// The candidate's record could not be looked at.
    Failed(Error),
}

impl From<Result<bool>> for Comparison {
    fn from(matches: Result<bool>) -> Self {
        match matches {
            Ok(true) => Self::Match,
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

impl Table {
    /// Calls `visit` with the location of every entry that may have `hash`, until it answers.
    #[inline]
    pub(super) fn find<R>(
        &self,
        hash: u64,
        mut visit: impl FnMut(Location) -> Option<R>,
    ) -> Option<R> {
        self.probe::<false, R>(hash, |candidate| visit(candidate.location?))
    }

    /// The entry with `hash` for which `compare`, given reference and location, says that it is the one.
    ///
    /// # Errors
    /// Any with which a comparison failed; that of damage only if no other entry is the one.
    #[inline]
    pub(super) fn locate(
        &self,
        hash: u64,
        mut compare: impl FnMut(u32, Location) -> Comparison,
    ) -> Result<Option<Found>> {
        let mut damage = None;
        let found = self.probe::<true, Result<Found>>(hash, |candidate| {
            let Candidate {
                position,
                location,
                reference,
            } = candidate;
            let location = location?;
            match compare(reference, location) {
                Comparison::Match => Some(Ok(Found { position, location })),
                Comparison::Other => None,
                Comparison::Damaged(error) => {
                    damage = Some(error);
                    None
                }
                Comparison::Failed(error) => Some(Err(error)),
            }
        });
        match (found, damage) {
            (Some(found), _) => found.map(Some),
            (None, Some(damage)) => Err(damage),
            (None, None) => Ok(None),
        }
    }

    /// The first entry that may have `hash` and whose location `is_it` accepts. References stay where they are: a line of memory that
    /// who only gives an entry another location need not wait for. For the writer.
    #[inline]
    pub(super) fn first(
        &self,
        hash: u64,
        mut is_it: impl FnMut(Location) -> bool,
    ) -> Option<Found> {
        self.probe::<false, _>(
            hash,
            |Candidate {
                 position, location, ..
             }| {
                let location = location.filter(|&location| is_it(location))?;
                Some(Found { position, location })
            },
        )
    }

    /// The entry that may have `hash` and whose location and reference `is_it` accepts. One that is only reserved has no
    /// location.
    #[inline]
    pub(super) fn position_of(
        &self,
        hash: u64,
        is_it: impl Fn(Option<Location>, u32) -> bool,
    ) -> Option<Position> {
        self.probe::<true, _>(hash, |candidate| {
            is_it(candidate.location, candidate.reference).then_some(candidate.position)
        })
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

    /// Calls `visit` for every slot whose tag fits `hash`, until it answers. A slot is visited again if an
    /// entry moved meanwhile: an entry that was there throughout is never missed.
    #[inline]
    fn probe<const REFERENCES: bool, R>(
        &self,
        hash: u64,
        mut visit: impl FnMut(Candidate) -> Option<R>,
    ) -> Option<R> {
        let (home, tag) = self.home(hash);
        let second = self.other(home, lane(tag));
        let (home, second) = (self.place(home), self.place(second));
        // Many lookups need it as well; so it comes at the same time as the first.
        prefetch(second.line);
        if REFERENCES {
            self.prefetch_references(home.bucket);
        }
        loop {
            // Acquired, so that what is seen from now on is no older than this count.
            let before = self.moves.load(Ordering::Acquire);
            let natives = |lanes: &Lanes| !lanes.displaced();
            let (answer, lanes) = self.visit::<REFERENCES, R>(home, tag, natives, &mut visit);
            if answer.is_some() {
                return answer;
            }
            if lanes.overflow(Overflow::Second) > 0 {
                let guests = Lanes::displaced;
                let (answer, _) = self.visit::<REFERENCES, R>(second, tag, guests, &mut visit);
                if answer.is_some() {
                    return answer;
                }
            }
            if lanes.overflow(Overflow::Stash) > 0 {
                let answer = self.probe_stash::<REFERENCES, R>(home.bucket, tag, &mut visit);
                if answer.is_some() {
                    return answer;
                }
            }
            if self.moves.load(Ordering::Relaxed) == before {
                return None;
            }
        }
    }

    #[cold]
    fn probe_stash<const REFERENCES: bool, R>(
        &self,
        home: usize,
        tag: u64,
        visit: &mut impl FnMut(Candidate) -> Option<R>,
    ) -> Option<R> {
        self.stash().find_map(|bucket| {
            let of_home = |_: &Lanes| {
                let is_of_home = |&slot: &usize| self.stash_home(Position { bucket, slot }) == home;
                let slots = (0..SLOTS).filter(is_of_home);
                slots.fold(0, |mask, slot| mask | 1 << slot)
            };
            let place = self.place(bucket);
            self.visit::<REFERENCES, R>(place, tag, of_home, visit).0
        })
    }

    #[inline]
    pub(super) fn place(&self, bucket: usize) -> BucketPlace<'_> {
        let line = self.line(bucket);
        BucketPlace { bucket, line }
    }

    /// Calls `visit` for the slots of a bucket with `tag`, of those that `among` answers. Answers the lanes as well. There is
    /// hardly ever more than one, so that none is kept while another is visited: the bucket is looked at again.
    #[inline(always)]
    fn visit<const REFERENCES: bool, R>(
        &self,
        place: BucketPlace<'_>,
        tag: u64,
        among: impl Fn(&Lanes) -> u32,
        visit: &mut impl FnMut(Candidate) -> Option<R>,
    ) -> (Option<R>, Lanes) {
        let mut unseen = u32::MAX;
        loop {
            let (lanes, candidate) = self.stable(|| {
                let lanes = Lanes::load(place.line);
                let slots = lanes.matches(lane(tag)) & unseen & among(&lanes);
                let candidate = self.candidate::<REFERENCES>(place, tag, &lanes, slots);
                (lanes, candidate)
            });
            let Some(candidate) = candidate else {
                return (None, lanes);
            };
            unseen = u32::MAX << candidate.position.slot << 1;
            if let Some(answer) = visit(candidate) {
                return (Some(answer), lanes);
            }
        }
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
