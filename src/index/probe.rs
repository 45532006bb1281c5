//! Looking up a hash in a table, beside its writer.

use std::sync::atomic::Ordering;

use super::Location;
use super::bucket::{Bucket, Overflow, SLOTS};
use super::table::{Position, Table, load_reference};

/// An entry whose key was compared.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) position: Position,
    pub(super) location: Location,
    pub(super) reference: u32,
}

/// A bucket as it was at one moment.
struct Picture {
    bucket: Bucket,
    /// A bit for each slot with the wanted tag.
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
            visit(picture.bucket.location(position.slot)?)
        })
    }

    /// The entry of `key`, whose hash is `hash`; compares with the slab.
    #[inline]
    pub(super) fn locate(&self, hash: u64, key: &[u8]) -> Option<Found> {
        self.prefetch(hash);
        self.probe::<true, Found>(hash, |picture, position| {
            let reference = picture.references[position.slot];
            let matches = self.slab().matches(reference, key);
            debug_assert!(matches.is_ok(), "a slot refers to a published key");
            let location = picture.bucket.location(position.slot)?;
            matches.unwrap_or(false).then_some(Found {
                position,
                location,
                reference,
            })
        })
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
            if let Some(answer) = visit_slots(&picture, home, fits, &mut visit) {
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
        tag: u32,
        visit: &mut impl FnMut(&Picture, Position) -> Option<R>,
    ) -> (Option<R>, u64) {
        let mut moves = home_picture.moves;
        if home_picture.bucket.overflow(Overflow::Second) > 0 {
            let second = self.other(home, tag);
            let picture = self.picture::<REFERENCES>(second, tag);
            moves = picture.moves;
            let fits = picture.matches & picture.bucket.displaced();
            if let Some(answer) = visit_slots(&picture, second, fits, visit) {
                return (Some(answer), moves);
            }
        }
        if home_picture.bucket.overflow(Overflow::Stash) > 0 {
            for bucket in self.stash() {
                let picture = self.picture::<REFERENCES>(bucket, tag);
                moves = picture.moves;
                if let Some(answer) = visit_slots(&picture, bucket, picture.matches, visit) {
                    return (Some(answer), moves);
                }
            }
        }
        (None, moves)
    }

    #[inline]
    fn picture<const REFERENCES: bool>(&self, bucket: usize, tag: u32) -> Picture {
        self.stable(|| {
            let copy = Bucket::load(self.line(bucket));
            let matches = copy.matches(tag);
            let mut references = [0; SLOTS];
            if REFERENCES {
                let mut slots = matches;
                while slots != 0 {
                    let slot = slots.trailing_zeros() as usize;
                    slots &= slots - 1;
                    references[slot] = load_reference(self.references(bucket), slot);
                }
            }
            Picture {
                bucket: copy,
                matches,
                references,
                moves: self.moves.load(Ordering::Relaxed),
            }
        })
    }
}

#[inline]
fn visit_slots<R>(
    picture: &Picture,
    bucket: usize,
    mut slots: u32,
    visit: &mut impl FnMut(&Picture, Position) -> Option<R>,
) -> Option<R> {
    while slots != 0 {
        let slot = slots.trailing_zeros() as usize;
        slots &= slots - 1;
        if let Some(answer) = visit(picture, Position { bucket, slot }) {
            return Some(answer);
        }
    }
    None
}
