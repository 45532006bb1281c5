//! How a reader begins anew where it cannot go on from where it is.
//!
//! The store is recovered as by opening it, beside what is shown meanwhile, and takes its place at once. If that fails nothing has
//! changed. Whoever is reading, an iterator for instance, goes on with what he has; its memory and files go when he is done.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Follower, State, lost_writes};
use crate::error::{Error, Result};
use crate::memory::epoch;
use crate::store::Store;
use crate::store::contents::Contents;
use crate::store::image;
use crate::store::open;
use crate::store::recovery::Recovery;
use crate::store::report::RecoveryWay;
use crate::store::segment_set::SegmentSet;

/// How many epochs what was shown before waits for who may be reading it.
const EPOCHS: usize = 4;

impl Follower {
    /// Lets `store` show what is there now, which is at least what it has shown so far.
    pub(super) fn begin_anew(&self, state: &mut State, store: &Store) -> Result<()> {
        let shared = &*store.shared;
        let options = &shared.options;
        let recovery = Recovery::list(&*self.vfs, &self.directory, options)?;
        let random = self.vfs.random();
        let random = random.map_err(|error| Error::io("random bytes", &self.directory, &error))?;
        let segments = Arc::new(SegmentSet::within(shared.budget.clone()));
        let recovered = recovery.run(&open::index_options(&random, options), &segments)?;
        let report = &recovered.report;
        let is_another = state.store_id.is_some() && recovered.store_id != state.store_id;
        if is_another || report.last_sequence < self.last_sequence() {
            return Err(lost_writes(&self.directory));
        }
        if let Some(error) = report.first_failure() {
            if report.missing_segments > 0 {
                // What is shown now has them.
                return Err(error);
            }
            shared.failure.record(&error);
        }
        let anew = State::new(recovered.store_id, &segments.members()?, &recovered.growing);
        let contents = Contents {
            is_counted: recovered.is_counted(),
            index: Arc::new(recovered.index),
            segments,
        };
        let needs_loader = options.background_threads > 0 && report.way == RecoveryWay::Image;
        let loader = match needs_loader {
            true => Some(image::start_loading(contents.clone())?),
            false => None,
        };
        shared.clock.has_heard(recovered.expired_until_ms);
        *state = anew;
        shared.current.replace(contents, &epoch::pin());
        self.advance(report.last_sequence);
        let mut slot = store.loader.lock();
        // A close stops the loader that it finds.
        let outdated = match shared.closed.load(Ordering::Acquire) {
            true => loader,
            false => std::mem::replace(&mut *slot, loader),
        };
        drop(slot);
        drop(outdated);
        for _ in 0..EPOCHS {
            epoch::pin().flush();
        }
        Ok(())
    }
}
