//! What was measured.

use crate::contestants::Kind;
use crate::key_sets::KeySet;
use crate::transcript::{State, Transcript};

pub struct Results {
    pub small: Vec<Small>,
    pub rows: Vec<Row>,
    /// What there was no room for.
    pub skipped: Vec<Skipped>,
    /// What the store does not do yet, and how it says so.
    pub unsupported: Vec<(Kind, String)>,
    /// Where the paths came from.
    pub paths: Option<String>,
    /// How many measurements an interrupted run of the same program had made before.
    pub of_earlier_runs: usize,
    /// What was measured of batches and regions, as sections of the report.
    pub parts: String,
    /// The commit that was measured.
    pub commit: String,
    /// The arguments that were given.
    pub given: String,
}

/// A contestant, empty and with a thousand keys, counted from before it was opened.
pub struct Small {
    pub kind: Kind,
    pub states: [State; 2],
}

pub struct Row {
    pub kind: Kind,
    pub set: KeySet,
    pub count: u64,
    pub figures: Figures,
}

pub struct Skipped {
    pub kind: Kind,
    pub set: KeySet,
    pub count: u64,
    /// What this machine has too little of.
    pub shortage: String,
}

/// The lives of one contestant with one set of keys.
pub struct Figures {
    pub keeps_keys_in_memory: bool,
    /// Bytes of all keys.
    pub key_bytes: u64,
    /// The life that begins with filling.
    pub filled: Transcript,
    /// If it is not all that was measured.
    pub others: Option<OtherLives>,
}

/// The lives that end with a tenth of the keys.
pub struct OtherLives {
    pub delete_most: Transcript,
    pub put_the_rest: Transcript,
}

/// A tenth of the keys, where there were all and where there was never more.
pub struct Reduced<'a> {
    /// All keys, before most of them were deleted.
    pub before: &'a State,
    /// After the others were deleted.
    pub after: &'a State,
    /// The same keys, where nothing else ever was.
    pub never_more: &'a State,
}

impl Figures {
    /// With all keys, as they were filled.
    pub fn fresh(&self) -> &State {
        &self.filled.states[0]
    }

    /// With all keys, after every one was replaced twice and half were deleted and added again.
    pub fn churned(&self) -> Option<&State> {
        self.filled.states.get(1)
    }

    /// With a tenth of the keys.
    pub fn reduced(&self) -> Option<Reduced<'_>> {
        let others = self.others.as_ref()?;
        Some(Reduced {
            before: &others.delete_most.states[0],
            after: &others.delete_most.states[1],
            never_more: &others.put_the_rest.states[0],
        })
    }

    /// Bytes a key besides the key, of `bytes` for all keys.
    pub fn besides_key(&self, bytes: u64) -> f64 {
        let key_bytes = self.key_bytes_in_memory(self.key_bytes);
        (bytes as f64 - key_bytes as f64) / self.fresh().keys as f64
    }

    /// How many of `key_bytes` are part of what the contestant takes.
    pub fn key_bytes_in_memory(&self, key_bytes: u64) -> u64 {
        if self.keeps_keys_in_memory {
            key_bytes
        } else {
            0
        }
    }
}

impl Results {
    /// What was measured of `kind`, `set` and `count`.
    pub fn figures(&self, kind: Kind, set: KeySet, count: u64) -> Option<&Figures> {
        let mut rows = self.rows.iter();
        let row = rows.find(|row| row.kind == kind && row.set == set && row.count == count)?;
        Some(&row.figures)
    }
}
