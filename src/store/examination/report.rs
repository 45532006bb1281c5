//! What an examination amounts to.

use super::finding::{Finding, Severity};
use crate::error::Error;

/// What examining a store amounts to.
#[derive(Clone, Debug, Default)]
pub struct VerifyReport {
    /// Segments that count.
    pub segments: u64,
    /// Bytes of these that were read.
    pub bytes: u64,
    /// Intact puts and deletes.
    pub records: u64,
    /// Keys whose newest record is intact.
    pub keys: u64,
    /// Keys whose newest record is known to be damaged. Each has a finding that names it.
    pub lost_keys: u64,
    /// Records that are damaged or missing, as far as they can be counted.
    pub lost_records: u64,
    /// Of these, how many leave no trace of their key.
    pub unidentified_records: u64,
    /// How many keys, of those with an intact newest record, were last written before a damaged or missing record of which nobody
    /// can tell for sure whose it was. At most as many of them as such records have a newer value than the one found. 0
    /// where the hints or an image of the index tell whose all of them were.
    pub keys_in_doubt: u64,
    /// Bytes of torn tail: what a crash cut short.
    pub torn_bytes: u64,
    /// Images of the index.
    pub images: u64,
    /// Findings of every kind.
    pub findings: u64,
    /// Findings of [`Severity::Damage`] or worse.
    pub damages: u64,
    /// Findings of [`Severity::Loss`].
    pub losses: u64,
    /// The first finding of [`Severity::Damage`] or worse, as an error.
    pub first_damage: Option<Error>,
}

impl VerifyReport {
    pub(super) fn add(&mut self, finding: &Finding) {
        self.findings += 1;
        self.losses += u64::from(finding.severity == Severity::Loss);
        if finding.severity >= Severity::Damage {
            self.damages += 1;
            self.first_damage.get_or_insert_with(|| finding.to_error());
        }
    }
}

/// What repairing a store amounts to.
#[derive(Clone, Debug, Default)]
pub struct RepairReport {
    /// What was found in the original.
    pub found: VerifyReport,
    /// Keys saved, with the older versions.
    pub keys_saved: u64,
    /// Bytes of their keys and values.
    pub bytes_saved: u64,
    /// Of these keys, how many with an older version than the newest that is known to have been. 0 unless that was asked
    /// for.
    pub older_versions: u64,
    /// Keys that are known and were left out, because their newest record is damaged.
    pub keys_left_out: u64,
    /// Keys left out because their pair was found to have expired when the store was last open. Others that have expired
    /// are saved with their expiry.
    pub keys_expired: u64,
}
