//! The operations that are measured, each done once for every key.

use crate::contenders::Contender;
use crate::keys::{key, scattered};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Insert,
    Hit,
    Compare,
    Miss,
    Update,
    Replace,
    Delete,
}

impl Phase {
    /// In an order in which each leaves what the next needs.
    pub const ALL: [Phase; 7] = [
        Phase::Insert,
        Phase::Hit,
        Phase::Compare,
        Phase::Miss,
        Phase::Update,
        Phase::Replace,
        Phase::Delete,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Phase::Insert => "insert",
            Phase::Hit => "hit",
            Phase::Compare => "compare",
            Phase::Miss => "miss",
            Phase::Update => "update",
            Phase::Replace => "replace",
            Phase::Delete => "delete",
        }
    }

    /// What to call it in a table.
    pub fn title(self) -> &'static str {
        match self {
            Phase::Insert => "insert, with room for all",
            Phase::Hit => "hit",
            Phase::Compare => "hit, comparing with the stored key",
            Phase::Miss => "miss",
            Phase::Update => "update",
            Phase::Replace => "delete and insert again",
            Phase::Delete => "delete",
        }
    }

    /// Does it `count` times.
    pub fn run(self, contender: &mut impl Contender, count: u64) {
        match self {
            Phase::Insert => (0..count).for_each(|number| contender.insert(&key(number), number)),
            Phase::Hit => {
                let hits = scattered(count).filter(|&number| contender.find(&key(number), number));
                assert_eq!(hits.count() as u64, count);
            }
            Phase::Compare => {
                let hits = scattered(count).filter(|&number| contender.contains(&key(number)));
                assert_eq!(hits.count() as u64, count);
            }
            Phase::Miss => {
                // No key has that number, so that every candidate is refused.
                let absent = |number: u64| (key(number + count), number + count);
                let hits = scattered(count).filter(|&number| {
                    let (key, number) = absent(number);
                    contender.find(&key, number)
                });
                assert_eq!(hits.count(), 0);
            }
            Phase::Update => {
                // The same numbers in another order would do no less.
                scattered(count).for_each(|number| contender.update(&key(number), number));
            }
            Phase::Replace => scattered(count).for_each(|number| {
                contender.delete(&key(number));
                contender.insert(&key(number), number);
            }),
            Phase::Delete => scattered(count).for_each(|number| contender.delete(&key(number))),
        }
    }
}
