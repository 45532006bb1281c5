//! Reading the log and filling the index at the same time.

use std::sync::mpsc::{channel, sync_channel};

use super::changes::{Change, Changes, Maker};
use crate::error::{Error, Result};

/// Changes are handed over when there are so many of them, or so many bytes: few enough to be still near when they are made.
const BATCH_CHANGES: usize = 4096;
const BATCH_BYTES: usize = 1 << 20;
/// How many batches may wait.
const WAITING: usize = 4;

/// What takes the changes that reading the log comes upon.
pub type Sink<'s> = dyn FnMut(&Change<'_>) -> Result<()> + 's;

fn is_full(changes: &Changes) -> bool {
    changes.len() >= BATCH_CHANGES || changes.bytes() >= BATCH_BYTES
}

/// Makes the changes that `read` comes upon, in their order; with a second thread if `may_start_thread` and there is one.
pub fn make_changes(
    maker: Maker<'_>,
    may_start_thread: bool,
    read: impl FnOnce(&mut Sink<'_>) -> Result<()>,
) -> Result<()> {
    std::thread::scope(|scope| {
        let (full_sender, full_receiver) = sync_channel::<Changes>(WAITING);
        let (empty_sender, empty_receiver) = channel::<Changes>();
        let second = may_start_thread.then(|| {
            let thread = std::thread::Builder::new().name("freyja-recovery".into());
            thread.spawn_scoped(scope, move || -> Result<()> {
                for mut changes in full_receiver {
                    maker.make_all(&changes)?;
                    changes.clear();
                    // Nobody takes it back after the end of the log.
                    let _ = empty_sender.send(changes);
                }
                Ok(())
            })
        });
        let Some(Ok(second)) = second else {
            return alternate(maker, read);
        };
        let mut changes = Changes::default();
        // Fails only when the thread has ended with an error, which is told below.
        let stopped = || Error::memory("the thread that fills the index");
        let result = read(&mut |change| {
            changes.push(change)?;
            if is_full(&changes) {
                let empty = empty_receiver.try_recv().unwrap_or_default();
                let full = std::mem::replace(&mut changes, empty);
                full_sender.send(full).map_err(|_| stopped())?;
            }
            Ok(())
        })
        .and_then(|()| full_sender.send(changes).map_err(|_| stopped()));
        drop(full_sender);
        match second.join() {
            Ok(made) => made.and(result),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Reads and makes changes by turns.
fn alternate(maker: Maker<'_>, read: impl FnOnce(&mut Sink<'_>) -> Result<()>) -> Result<()> {
    let mut changes = Changes::default();
    read(&mut |change| {
        changes.push(change)?;
        if is_full(&changes) {
            maker.make_all(&changes)?;
            changes.clear();
        }
        Ok(())
    })?;
    maker.make_all(&changes)
}
