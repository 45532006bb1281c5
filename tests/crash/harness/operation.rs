//! What a workload does, one step after the other.

use crate::random::Random;

/// Keys that workloads use. Among them are the empty one and one with a length of two bytes.
pub const KEYS: u8 = 8;

/// The key number `number`.
pub fn key(number: u8) -> Vec<u8> {
    match number {
        6 => vec![b'l'; 300],
        7 => Vec::new(),
        _ => vec![b'k', number],
    }
}

/// All keys of workloads.
pub fn all_keys() -> impl Iterator<Item = Vec<u8>> {
    (0..KEYS).map(key)
}

/// What a put stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    Empty,
    Small,
    Medium,
    /// Nothing else fits into its segment: the log rotates before it or behind it.
    Filling,
    /// More than a segment of the usual size holds.
    Large,
    Zeros,
    /// A piece of a segment of this store, records, header and all.
    Mimicry,
}

/// One step of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Put(u8, Value),
    /// A put of a small value that expires when the clock stands so many milliseconds after the beginning of all workloads.
    PutExpiring(u8, u64),
    Delete(u8),
    /// Puts and deletes that follow from this number, together or not at all.
    Batch(u64),
    Sync,
    /// The sync interval passes.
    Wait,
    /// Close and open.
    Reopen,
    /// The process dies; another opens the store.
    Kill,
    /// A put whose sync fails; then the store is opened again, by a process that finds in the cache what the disk does
    /// not have, or, if this is `true`, no cache.
    FailedSync(bool),
    /// Everything for which it pays is compacted.
    Compact,
    /// One step of the background work.
    Maintain,
}

/// The steps of the exhaustive search.
pub const ALPHABET: [Operation; 12] = [
    Operation::Put(0, Value::Small),
    Operation::Put(1, Value::Filling),
    Operation::Put(0, Value::Empty),
    Operation::Delete(0),
    Operation::Delete(1),
    Operation::Sync,
    Operation::Wait,
    Operation::Reopen,
    Operation::Kill,
    Operation::FailedSync(true),
    Operation::Batch(5),
    Operation::Compact,
];

impl Operation {
    /// Any operation, puts and deletes mostly.
    pub fn drawn(random: &mut Random) -> Self {
        let key = random.below(u64::from(KEYS)) as u8;
        match random.below(35) {
            0..=2 => Self::Put(key, Value::Small),
            3 => Self::Put(key, Value::Empty),
            4..=6 => Self::Put(key, Value::Medium),
            7..=8 => Self::Put(key, Value::Filling),
            9 => Self::Put(key, Value::Large),
            10 => Self::Put(key, Value::Zeros),
            11 => Self::Put(key, Value::Mimicry),
            12..=16 => Self::Delete(key),
            17 => Self::Sync,
            18..=19 => Self::Wait,
            20..=21 => Self::Reopen,
            22 => Self::Kill,
            23..=26 => Self::Batch(random.next()),
            // Waiting takes 10 ms each: some expire at once, some on the way, some never.
            27..=29 => Self::PutExpiring(key, random.below(60)),
            30..=32 => Self::Compact,
            33 => Self::Maintain,
            _ => Self::FailedSync(random.below(2) == 0),
        }
    }
}
