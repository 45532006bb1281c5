//! What a batch comes to: the last operation on each of its keys.

use std::cell::Cell;
use std::cmp::Ordering;

use crate::error::{Error, Result};
use crate::index::{Change, Index};
use crate::memory::kept::{self, Place};
use crate::store::packed::PackedOperations;

/// Up to so many operations are sorted by way of [`WORDS`]. Of more the memory for that would be much, and sorting them is little
/// beside what waits for memory.
const MOST_BY_WORDS: usize = 4096;

thread_local! {
    static CHANGES: Cell<Vec<Change<'static>>> = const { Cell::new(Vec::new()) };
    static UNSORTED: Cell<Vec<Change<'static>>> = const { Cell::new(Vec::new()) };
    static WORDS: Cell<Vec<u64>> = const { Cell::new(Vec::new()) };
    static SUPERSEDED: Cell<Vec<u32>> = const { Cell::new(Vec::new()) };
}

/// What the operations of a batch come to.
pub struct Changes<'b> {
    /// The last operation on each key, in the order of the hashes.
    pub last: Vec<Change<'b>>,
    /// Numbers of the other operations.
    pub superseded: Vec<u32>,
}

impl<'b> Changes<'b> {
    /// Those of `batch`, whose keys `index` hashes. Errors: `Memory`.
    pub fn new(index: &Index, batch: PackedOperations<'b>) -> Result<Self> {
        let mut last: Vec<Change<'b>> = reserved_vec(&CHANGES, batch.len())?;
        last.extend((0..).zip(batch.iter()).map(|(number, operation)| Change {
            hash: index.hash(operation.key),
            key: operation.key,
            number,
            inserts: operation.value.is_some(),
        }));
        let superseded = match sort(&mut last)? {
            Repeats::None => Vec::new(),
            Repeats::Possible => dedup(&mut last)?,
        };
        Ok(Self { last, superseded })
    }

    /// Keeps the memory for the thread's next batch.
    pub fn keep(self) {
        kept::keep(&CHANGES, self.last);
        if self.superseded.capacity() > 0 {
            kept::keep(&SUPERSEDED, self.superseded);
        }
    }
}

/// Whether there may be several changes of one key.
#[derive(Debug, PartialEq, Eq)]
enum Repeats {
    None,
    Possible,
}

/// Sorts `changes`, which are in the order of their numbers from 0 on, by hash, key and number.
fn sort(changes: &mut [Change<'_>]) -> Result<Repeats> {
    if changes.len() > MOST_BY_WORDS {
        changes.sort_unstable_by(by_hash_key_and_number);
        return Ok(Repeats::Possible);
    }
    // The upper bits of a hash and the number in one word: those are sorted in a third of the time.
    let number_bits = usize::BITS - changes.len().leading_zeros();
    let numbers = (1_u64 << number_bits) - 1;
    let mut words = reserved_vec(&WORDS, changes.len())?;
    let mut unsorted = reserved_vec(&UNSORTED, changes.len())?;
    unsorted.extend_from_slice(changes);
    let word = |change: &Change<'_>| change.hash & !numbers | u64::from(change.number);
    words.extend(unsorted.iter().map(word));
    words.sort_unstable();
    for (place, word) in changes.iter_mut().zip(&words) {
        *place = unsorted[(word & numbers) as usize];
    }
    kept::keep(&WORDS, words);
    kept::keep(&UNSORTED, unsorted);

    let mut repeats = Repeats::None;
    let look_alike = |one: &Change<'_>, other: &Change<'_>| (one.hash ^ other.hash) <= numbers;
    for run in changes.chunk_by_mut(look_alike) {
        if run.len() > 1 {
            run.sort_unstable_by(by_hash_key_and_number);
            repeats = Repeats::Possible;
        }
    }
    Ok(repeats)
}

fn by_hash_key_and_number(one: &Change<'_>, other: &Change<'_>) -> Ordering {
    one.hash
        .cmp(&other.hash)
        .then_with(|| one.key.cmp(other.key))
        .then(one.number.cmp(&other.number))
}

/// Leaves the last of the sorted `changes` of each key, and answers the numbers of the others.
fn dedup(changes: &mut Vec<Change<'_>>) -> Result<Vec<u32>> {
    let same_key =
        |one: &Change<'_>, other: &Change<'_>| one.hash == other.hash && one.key == other.key;
    let again = changes
        .windows(2)
        .filter(|pair| same_key(&pair[0], &pair[1]));
    let mut superseded = reserved_vec(&SUPERSEDED, again.count())?;
    changes.dedup_by(|later, earlier| {
        let same = same_key(later, earlier);
        if same {
            // The last one takes the place of the first.
            superseded.push(earlier.number);
            *earlier = *later;
        }
        same
    });
    Ok(superseded)
}

/// An empty list with room for `length` items, in memory that was kept if there is enough. Errors: `Memory`.
pub fn reserved_vec<T>(place: &'static Place<T>, length: usize) -> Result<Vec<T>> {
    let mut vec = kept::take(place);
    vec.try_reserve_exact(length)
        .map_err(|_| Error::memory("writing a batch"))?;
    Ok(vec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::test_random::Random;

    /// Changes of `keys`, some of which have the same hash, or one that differs in its lowest bits only.
    fn changes<'k>(keys: &'k [[u8; 2]]) -> Vec<Change<'k>> {
        let numbered = (0..).zip(keys);
        let changes = numbered.map(|(number, key)| Change {
            hash: u64::from(key[0]) << 60 | u64::from(key[1] >> 6),
            key,
            number,
            inserts: true,
        });
        changes.collect()
    }

    #[test]
    fn the_order_is_by_hash_key_and_number_however_many_there_are() {
        let mut random = Random::new(3);
        for count in [
            0,
            1,
            2,
            3,
            100,
            127,
            128,
            129,
            MOST_BY_WORDS,
            MOST_BY_WORDS + 1,
        ] {
            let bytes = random.bytes(2 * count);
            let keys: Vec<[u8; 2]> = bytes.chunks(2).map(|it| [it[0], it[1]]).collect();
            let unsorted = changes(&keys);
            let mut sorted = unsorted.clone();
            let repeats = sort(&mut sorted).unwrap();
            let mut expected = unsorted;
            expected.sort_by(by_hash_key_and_number);
            let numbers = |changes: &[Change<'_>]| -> Vec<u32> {
                changes.iter().map(|change| change.number).collect()
            };
            assert_eq!(numbers(&sorted), numbers(&expected), "{count} changes");
            let has_repeats = sorted
                .windows(2)
                .any(|pair| pair[0].hash == pair[1].hash && pair[0].key == pair[1].key);
            assert!(!has_repeats || repeats == Repeats::Possible);
        }
    }

    #[test]
    fn of_the_changes_of_one_key_the_last_stays_and_the_others_are_named() {
        let keys = [*b"aa", *b"bb", *b"aa", *b"cc", *b"aa", *b"bb"];
        let mut left = changes(&keys);
        sort(&mut left).unwrap();
        let mut superseded = dedup(&mut left).unwrap();
        superseded.sort_unstable();
        assert_eq!(superseded, [0, 1, 2]);
        let mut numbers: Vec<u32> = left.iter().map(|change| change.number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [3, 4, 5]);
    }
}
