//! Deliberate faults: each removes one step on which durability or detection of damage rests, so that tests can prove
//! that they would notice. They exist only in builds with the feature `sabotage`, which no release build can have.

/// `sabotage!(Fault, action)` does `action` if that fault is switched on. Nothing is left of it in other builds.
#[cfg(feature = "sabotage")]
macro_rules! sabotage {
    ($fault:ident, $action:expr) => {
        if $crate::sabotage::is_on($crate::sabotage::Fault::$fault) {
            $action
        }
    };
}
#[cfg(not(feature = "sabotage"))]
macro_rules! sabotage {
    ($fault:ident, $action:expr) => {};
}

#[cfg(all(feature = "sabotage", not(debug_assertions)))]
compile_error!("the feature `sabotage` breaks the store on purpose; it is for tests only");

#[cfg(feature = "sabotage")]
mod switch {
    use std::cell::Cell;

    /// A step left out or done in the wrong order.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Fault {
        /// The log is never synced.
        NoSync,
        /// The names of new segments are never made durable.
        NoDirectorySync,
        /// Only the name of the first segment is.
        FirstDirectorySyncOnly,
        /// A write returns before it is durable, in the mode that promises it.
        AcknowledgedBeforeSync,
        /// A segment gets its name before its header is durable.
        RenamedBeforeSync,
        /// The log comes to a segment that was made ready before, whose header is not durable.
        SuccessorUnsynced,
        /// The name of a segment that was made ready before is never made durable.
        SuccessorNameUnsynced,
        /// Compaction does not list a segment that was made ready, so that it counts as replaced.
        SuccessorUnlisted,
        /// An image refers to records that are not durable, and nobody checks that when it is opened.
        ImageAheadOfLog,
        /// A failed sync counts as done.
        SyncErrorIgnored,
        /// A failed sync is tried again.
        SyncRetried,
        /// Recovery leaves the torn end of the log where it is.
        TailLeft,
        /// Recovery keeps the first part of a batch that was torn.
        HalfBatchKept,
        /// Recovery takes for durable what it reads from the page cache.
        CacheTrusted,
        /// A footer of an earlier run is taken for durable when a sync of what the page cache has says so.
        FooterTrusted,
        /// Recovery takes all damage to an unsealed segment for a torn tail.
        DamageCut,
        /// A damaged record does not hide older versions of its key.
        DamageForgotten,
        /// Checksums of records are not verified by reads.
        UncheckedRead,
        /// Checksums of an image's shards are not verified.
        UncheckedShard,
        /// Compaction deletes what it replaces before that is durable.
        ReplacedDeletedEarly,
        /// Compaction drops every tombstone.
        TombstonesDropped,
        /// Compaction leaves records behind before what superseded them is durable.
        CompactedAheadOfLog,
        /// Compaction gives damaged records a new checksum.
        DamageLaundered,
        /// Recovery takes segments that were replaced for parts of the log.
        ReplacedKept,
        /// Compaction drops an expired put although an older one may be left.
        ExpiredDropped,
        /// A segment goes whole once anything in it has expired, whatever has not.
        DroppedTooEarly,
        /// A backup acknowledges files that are not durable.
        BackupUnsynced,
        /// A backup leaves out the end of the log.
        BackupWithoutEnd,
        /// A backup ends a file that it copies too early.
        BackupCopiedInPart,
        /// A backup counts as finished before its segments have their names.
        BackupFinishedEarly,
        /// A refresh makes the changes of a batch one by one.
        RefreshedInParts,
        /// A refresh takes a segment although what is before it is missing.
        RefreshedOverGap,
        /// A refresh does not ask what compaction took away before it was read.
        RefreshedOverCompaction,
        /// Nobody remembers what was found to have expired.
        ExpiryForgotten,
        /// What was found to have expired is not written down.
        ExpiryUnrecorded,
    }

    thread_local! {
        static ON: Cell<Option<Fault>> = const { Cell::new(None) };
    }

    /// Switches on one fault, or none, for calls of this thread.
    pub fn set(fault: Option<Fault>) {
        ON.set(fault);
    }

    /// Whether `fault` is switched on for this thread.
    pub fn is_on(fault: Fault) -> bool {
        ON.get() == Some(fault)
    }
}
#[cfg(feature = "sabotage")]
pub use switch::{Fault, is_on, set};
