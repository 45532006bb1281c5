//! Looking up a hash in a table, beside its writer.

use std::sync::atomic::Ordering;

use super::Location;
use super::bucket::{Bucket, Overflow, SLOTS, TAG_BITS};
use super::encoding::lane;
use super::table::{NO_REFERENCE, Position, Table, load_reference};
use crate::error::{Error, ErrorKind, Result};

/// An entry whose key was compared.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) position: Position,
    pub(super) location: Location,
    pub(super) reference: u32,
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

/// A bucket as it was at one moment.
struct Picture {
    bucket: Bucket,
    /// A bit for each slot with the lane of the wanted tag.
    matches: u32,
    /// Those of the matching slots, if asked for.
    references: [u32; SLOTS],
    moves: u64,
}

impl Table {
    /// Calls `visit` with the location of every entry that may have `hash`, until it answers.
    #[inline]
    pub(super) fn find<R>(
        &self,
        hash: u64,
        mut visit: impl FnMut(Location) -> Option<R>,
    ) -> Option<R> {
        self.probe::<false, R>(hash, |picture, position| {
            visit(
                self.encoding()
                    .location(picture.bucket.field(position.slot))?,
            )
        })
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
        self.prefetch(hash);
        let mut damage = None;
        let found = self.probe::<true, Result<Found>>(hash, |picture, position| {
            let location = self
                .encoding()
                .location(picture.bucket.field(position.slot))?;
            let reference = picture.references[position.slot];
            match compare(reference, location) {
                Comparison::Match => Some(Ok(Found {
                    position,
                    location,
                    reference,
                })),
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

    /// Calls `visit` for every slot whose tag fits `hash`, until it answers. A slot is visited again if an
    /// entry moved meanwhile: an entry that was there throughout is never missed.
    #[inline]
    fn probe<const REFERENCES: bool, R>(
        &self,
        hash: u64,
        mut visit: impl FnMut(&Picture, Position) -> Option<R>,
    ) -> Option<R> {
        let (home, tag) = self.home(hash);
        loop {
            let picture = self.picture::<REFERENCES>(home, tag);
            let fits = picture.matches & !picture.bucket.displaced();
            if let Some(answer) = self.visit_slots(&picture, home, tag, fits, &mut visit) {
                return Some(answer);
            }
            if picture.bucket.overflow(Overflow::Second) == 0
                && picture.bucket.overflow(Overflow::Stash) == 0
            {
                return None;
            }
            match self.probe_elsewhere::<REFERENCES, R>(&picture, home, tag, &mut visit) {
                (None, moves) if moves != picture.moves => {}
                (answer, _) => return answer,
            }
        }
    }

    /// Probes second bucket and stash, as far as the picture of the home bucket says that they matter; also
    /// answers the count of moves as it was at the end.
    fn probe_elsewhere<const REFERENCES: bool, R>(
        &self,
        home_picture: &Picture,
        home: usize,
        tag: u64,
        visit: &mut impl FnMut(&Picture, Position) -> Option<R>,
    ) -> (Option<R>, u64) {
        let mut moves = home_picture.moves;
        if home_picture.bucket.overflow(Overflow::Second) > 0 {
            let second = self.other(home, lane(tag));
            let picture = self.picture::<REFERENCES>(second, tag);
            moves = picture.moves;
            let fits = picture.matches & picture.bucket.displaced();
            if let Some(answer) = self.visit_slots(&picture, second, tag, fits, visit) {
                return (Some(answer), moves);
            }
        }
        if home_picture.bucket.overflow(Overflow::Stash) > 0 {
            for bucket in self.stash() {
                let picture = self.stash_picture::<REFERENCES>(bucket, home, tag);
                moves = picture.moves;
                let fits = picture.matches;
                if let Some(answer) = self.visit_slots(&picture, bucket, tag, fits, visit) {
                    return (Some(answer), moves);
                }
            }
        }
        (None, moves)
    }

    #[inline]
    fn picture<const REFERENCES: bool>(&self, bucket: usize, tag: u64) -> Picture {
        self.stable(|| self.look::<REFERENCES>(bucket, tag))
    }

    /// A picture of a stash bucket, in which only entries of the right home match.
    fn stash_picture<const REFERENCES: bool>(
        &self,
        bucket: usize,
        home: usize,
        tag: u64,
    ) -> Picture {
        self.stable(|| {
            let mut picture = self.look::<REFERENCES>(bucket, tag);
            for slot in 0..SLOTS {
                let other = self.stash_home(Position { bucket, slot }) != home;
                picture.matches &= !(u32::from(other) << slot);
            }
            picture
        })
    }

    #[inline]
    fn look<const REFERENCES: bool>(&self, bucket: usize, tag: u64) -> Picture {
        let copy = Bucket::load(self.line(bucket));
        let matches = copy.matches(lane(tag));
        let mut references = [NO_REFERENCE; SLOTS];
        if REFERENCES && let Some(keys) = self.keys() {
            let mut slots = matches;
            while slots != 0 {
                let slot = slots.trailing_zeros() as usize;
                slots &= slots - 1;
                references[slot] = load_reference(keys.references(bucket), slot);
            }
        }
        Picture {
            bucket: copy,
            matches,
            references,
            moves: self.moves.load(Ordering::Relaxed),
        }
    }

    /// Calls `visit` with those of `slots` whose whole tag is `tag`.
    #[inline]
    fn visit_slots<R>(
        &self,
        picture: &Picture,
        bucket: usize,
        tag: u64,
        mut slots: u32,
        visit: &mut impl FnMut(&Picture, Position) -> Option<R>,
    ) -> Option<R> {
        let upper_tag = tag >> TAG_BITS;
        while slots != 0 {
            let slot = slots.trailing_zeros() as usize;
            slots &= slots - 1;
            if self.encoding().upper_tag(picture.bucket.field(slot)) == upper_tag
                && let Some(answer) = visit(picture, Position { bucket, slot })
            {
                return Some(answer);
            }
        }
        None
    }
}
