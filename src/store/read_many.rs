//! Gets of several keys at once.

use std::cell::Cell;
use std::ops::Range;

use super::Store;
use super::clock::ExpiryClock;
use super::contents::Contents;
use super::counters::Operation;
use super::options::ReadChecks;
use super::read::{check_key, is_of};
use crate::error::{Error, Result};
use crate::index::Location;
use crate::memory::epoch::{self, Guard};
use crate::memory::kept;

/// So many keys are on their way together: as many cache misses as a processor can overlap, and few enough that what
/// was brought near for the first is still there after the last.
const GROUP: usize = 32;

/// What was found for several keys, in their order. See [`Store::get_many_with`].
pub struct Values<'s> {
    answers: Vec<Answer<'s>>,
    /// Values that do not lie in mapped memory.
    copied: Vec<u8>,
}

enum Answer<'s> {
    Missing,
    Mapped(&'s [u8]),
    /// A range of the copied bytes.
    Copied(Range<usize>),
    Failed(Error),
}

thread_local! {
    static HASHES: Cell<Vec<u64>> = const { Cell::new(Vec::new()) };
    static ANSWERS: Cell<Vec<Answer<'static>>> = const { Cell::new(Vec::new()) };
    static COPIED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Values<'_> {
    /// For each key its value, `None` if it is not there, or why it could not be read.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Result<Option<&[u8]>>> {
        self.answers.iter().map(|answer| match answer {
            Answer::Missing => Ok(None),
            Answer::Mapped(value) => Ok(Some(*value)),
            Answer::Copied(range) => Ok(self.copied.get(range.clone())),
            Answer::Failed(error) => Err(error.clone()),
        })
    }

    /// Length in bytes of all values together; `None` if that is more than memory can hold.
    pub fn total_len(&self) -> Option<usize> {
        self.answers
            .iter()
            .try_fold(0_usize, |sum, answer| match answer {
                Answer::Mapped(value) => sum.checked_add(value.len()),
                Answer::Copied(range) => sum.checked_add(range.len()),
                Answer::Missing | Answer::Failed(_) => Some(sum),
            })
    }
}

impl Store {
    /// The values of `keys`, in their order: for each what [`Store::get`] would answer. See [`Store::get_many_with`].
    pub fn get_many(&self, keys: &[&[u8]]) -> Result<Vec<Result<Option<Vec<u8>>>>> {
        self.get_many_with(keys.iter().copied(), |values| {
            let mut copies = reserved_vec(keys.len())?;
            copies.extend(values.iter().map(|value| value?.map(copy_of).transpose()));
            Ok(copies)
        })?
    }

    /// Calls `use_values` with the values of `keys`, verified and valid during the call, which must not wait for long.
    ///
    /// All are read at one moment as far as batches go: of each batch all is seen or nothing. This is faster than
    /// getting one key after the other, because memory accesses for several keys overlap.
    ///
    /// Errors that concern one key are among the values. Fails as a whole for a key that is too long, for want of
    /// memory, and when the store is closed.
    pub fn get_many_with<'k, R>(
        &self,
        keys: impl ExactSizeIterator<Item = &'k [u8]> + Clone,
        use_values: impl FnOnce(&Values<'_>) -> R,
    ) -> Result<R> {
        let shared = &*self.shared;
        shared.check_open()?;
        let guard = epoch::pin();
        let contents = shared.contents(&guard);
        let mut hashes = reserved(kept::take(&HASHES), keys.len())?;
        for key in keys.clone() {
            check_key(key)?;
            let hash = contents.index.hash(key);
            contents.index.make_present(&guard, hash)?;
            hashes.push(hash);
        }
        let looking = Looking {
            contents,
            clock: &shared.clock,
            checks: shared.options.read_checks,
            guard: &guard,
        };
        let look = || looking.look_up(keys.clone(), &hashes);
        let values = shared.publication.observe(look)?;
        for answer in &values.answers {
            if let Answer::Failed(error) = answer {
                shared.failure.record(error);
            }
        }
        shared.counters.add(Operation::Get, hashes.len() as u64);
        let result = use_values(&values);
        kept::keep(&HASHES, hashes);
        kept::keep(&ANSWERS, values.answers);
        kept::keep(&COPIED, values.copied);
        Ok(result)
    }
}

/// What keys are looked up in.
#[derive(Clone, Copy)]
struct Looking<'s> {
    contents: &'s Contents,
    clock: &'s ExpiryClock,
    checks: ReadChecks,
    guard: &'s Guard,
}

impl<'s> Looking<'s> {
    /// Looks `keys` with these `hashes` up, group by group: first their buckets are brought near, then their records.
    fn look_up<'k>(
        self,
        mut keys: impl Iterator<Item = &'k [u8]>,
        hashes: &[u64],
    ) -> Result<Values<'s>> {
        let mut values = Values {
            answers: reserved(kept::take(&ANSWERS), hashes.len())?,
            copied: kept::take(&COPIED),
        };
        let guard = self.guard;
        let Contents {
            index, segments, ..
        } = self.contents;
        let mut scratch = kept::take(&SCRATCH);
        for group in hashes.chunks(GROUP) {
            for hash in group {
                index.prefetch(guard, *hash);
            }
            for hash in group {
                if let Some(location) = index.probable(guard, *hash) {
                    segments.prefetch(location, guard);
                }
            }
            for (hash, key) in group.iter().zip(&mut keys) {
                let answer = self.answer(*hash, key, &mut scratch, &mut values.copied);
                values.answers.push(answer);
            }
        }
        kept::keep(&SCRATCH, scratch);
        Ok(values)
    }

    #[inline]
    fn answer(
        self,
        hash: u64,
        key: &[u8],
        scratch: &mut Vec<u8>,
        copied: &mut Vec<u8>,
    ) -> Answer<'s> {
        let mut undecided = None;
        let index = &self.contents.index;
        let found = index.find(self.guard, hash, |location| {
            match self.value_at(location, key, scratch, copied) {
                Ok(found) => found,
                // As for a single get: the index may know whose record the damaged one is; if not, another candidate may
                // still be the one.
                Err(error) => match index.locate(self.guard, hash, key) {
                    Ok(Some(own)) if own == location => Some(Answer::Failed(error)),
                    Ok(None) => None,
                    Ok(Some(_)) | Err(_) => {
                        undecided = Some(error);
                        None
                    }
                },
            }
        });
        let undecided = || undecided.map_or(Answer::Missing, Answer::Failed);
        found.unwrap_or_else(undecided)
    }

    /// The value in the record at `location`, checked, if that is one of `key`.
    #[inline]
    fn value_at(
        self,
        location: Location,
        key: &[u8],
        scratch: &mut Vec<u8>,
        copied: &mut Vec<u8>,
    ) -> Result<Option<Answer<'s>>> {
        let Some(live) = self.contents.segments.find(location, self.guard) else {
            return Ok(None);
        };
        let offset = live.offset(location);
        if let Some(view) = live.segment.mapped_record(offset)? {
            return Ok(is_of(&view, key, self.checks)?.then(|| {
                match self.clock.has_expired(view.expires_at_ms()) {
                    true => Answer::Missing,
                    false => Answer::Mapped(view.value()),
                }
            }));
        }
        let view = live.segment.record(offset, scratch)?;
        if !is_of(&view, key, self.checks)? {
            return Ok(None);
        }
        if self.clock.has_expired(view.expires_at_ms()) {
            return Ok(Some(Answer::Missing));
        }
        let start = copied.len();
        copied
            .try_reserve(view.value().len())
            .map_err(|_| Error::memory("values"))?;
        copied.extend_from_slice(view.value());
        Ok(Some(Answer::Copied(start..copied.len())))
    }
}

fn copy_of(value: &[u8]) -> Result<Vec<u8>> {
    let mut copy = reserved_vec(value.len())?;
    copy.extend_from_slice(value);
    Ok(copy)
}

fn reserved_vec<T>(length: usize) -> Result<Vec<T>> {
    reserved(Vec::new(), length)
}

fn reserved<T>(mut vec: Vec<T>, length: usize) -> Result<Vec<T>> {
    vec.try_reserve_exact(length)
        .map_err(|_| Error::memory("reading several keys"))?;
    Ok(vec)
}
