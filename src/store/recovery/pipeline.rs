//! Reading the log and filling the index at the same time.

use std::panic::resume_unwind;
use std::sync::mpsc::{channel, sync_channel};
use std::thread;

use super::changes::{Change, Changes, Maker};
use crate::error::{Error, Result};
use crate::memory::reserve;

/// Changes are handed over when there are so many of them, or so many bytes.
const BATCH_CHANGES: usize = 1 << 16;
const BATCH_BYTES: usize = 8 << 20;
/// What a change takes besides its key.
const CHANGE_BYTES: usize = 40;
/// Where memory is limited, a batch has this part of the reserve: twice, since lists double.
const RESERVE_PART: usize = 8;
/// How many batches may wait.
const WAITING: usize = 2;
/// A batch is divided by this many leading bits of the hashes, and made part by part: so that what is touched of the index
/// meanwhile stays near.
const PART_BITS: u32 = 6;

/// What takes the changes that reading the log comes upon.
pub type Sink<'s> = dyn FnMut(&Change<'_>) -> Result<()> + 's;

/// Changes by their hashes; those of a part, and so those of a key, are in commit order.
struct Batch {
    parts: [Changes; 1 << PART_BITS],
    changes: usize,
    bytes: usize,
    /// It is full then.
    most_bytes: usize,
}

impl Batch {
    fn new(most_bytes: usize) -> Self {
        Self {
            most_bytes,
            parts: std::array::from_fn(|_| Changes::default()),
            changes: 0,
            bytes: 0,
        }
    }

    fn push(&mut self, change: &Change<'_>) -> Result<()> {
        let part = &mut self.parts[(change.hash >> (u64::BITS - PART_BITS)) as usize];
        part.push(change)?;
        self.changes += 1;
        self.bytes += CHANGE_BYTES + change.key.len();
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.changes >= BATCH_CHANGES || self.bytes >= self.most_bytes
    }

    /// Makes all changes and forgets them, but keeps their memory.
    fn make(&mut self, maker: &Maker<'_>) -> Result<()> {
        for part in &mut self.parts {
            maker.make_all(part)?;
            part.clear();
        }
        (self.changes, self.bytes) = (0, 0);
        Ok(())
    }
}

/// Makes the changes that `read` comes upon, in their order; with two threads if `may_start_threads` and there are some, and
/// memory is not limited.
pub fn make_changes(
    maker: Maker<'_>,
    may_start_threads: bool,
    read: impl FnOnce(&mut Sink<'_>) -> Result<()> + Send,
) -> Result<()> {
    // Starting a thread can end the process for want of a few bytes.
    let budget = maker.segments.budget().clone();
    if let (Some(limit), Some(growth)) = (budget.limit(), budget.growth_limit()) {
        let most_bytes = ((limit - growth) as usize / RESERVE_PART).min(BATCH_BYTES);
        let _loan = budget.lend(2 * most_bytes)?;
        return alternate(maker, most_bytes, read);
    }
    if !may_start_threads || reserve::check_for_thread().is_err() {
        return alternate(maker, BATCH_BYTES, read);
    }
    let mut work = Some((maker, read));
    let done = on_another_thread(|| work.take().map(|(maker, read)| overlap(maker, read)));
    match done {
        Ok(Some(Ok(Some(result)))) => return result,
        Ok(Some(Err(panic))) | Err(panic) => resume_unwind(panic),
        Ok(_) => {}
    }
    match work {
        Some((maker, read)) => alternate(maker, BATCH_BYTES, read),
        None => Err(Error::memory("the threads that fill the index")),
    }
}

/// What `run` answers, or `None` if no thread could be started. Not on the caller's thread: what the standard library keeps for
/// one that waits for others stays until the thread ends, and in the main thread of a C program leak checkers take that for
/// lost.
#[cfg(not(loom))]
fn on_another_thread<R: Send>(
    run: impl FnOnce() -> R + Send,
) -> thread::Result<Option<thread::Result<R>>> {
    crossbeam_utils::thread::scope(|scope| {
        let thread = scope.builder().name("freyja-recovery".into());
        let thread = thread.spawn(move |_| run());
        thread.ok().map(|thread| thread.join())
    })
}

/// The crate has no threads in builds for loom, which do without this anyway.
#[cfg(loom)]
fn on_another_thread<R: Send>(
    run: impl FnOnce() -> R + Send,
) -> thread::Result<Option<thread::Result<R>>> {
    Ok(std::thread::scope(|scope| Some(scope.spawn(run).join())))
}

/// Reads on this thread and makes the changes on another.
fn overlap(maker: Maker<'_>, read: impl FnOnce(&mut Sink<'_>) -> Result<()>) -> Result<()> {
    if reserve::check_for_thread().is_err() {
        return alternate(maker, BATCH_BYTES, read);
    }
    std::thread::scope(|scope| {
        let (full_sender, full_receiver) = sync_channel::<Batch>(WAITING);
        let (empty_sender, empty_receiver) = channel::<Batch>();
        let thread = std::thread::Builder::new().name("freyja-recovery".into());
        let second = thread.spawn_scoped(scope, move || -> Result<()> {
            for mut batch in full_receiver {
                batch.make(&maker)?;
                // Nobody takes it back after the end of the log.
                let _ = empty_sender.send(batch);
            }
            Ok(())
        });
        let Ok(second) = second else {
            return alternate(maker, BATCH_BYTES, read);
        };
        let mut batch = Batch::new(BATCH_BYTES);
        // Fails only when the thread has ended with an error, which is told below.
        let stopped = || Error::memory("the thread that fills the index");
        let result = read(&mut |change| {
            batch.push(change)?;
            if batch.is_full() {
                let empty = empty_receiver
                    .try_recv()
                    .unwrap_or_else(|_| Batch::new(BATCH_BYTES));
                let full = std::mem::replace(&mut batch, empty);
                full_sender.send(full).map_err(|_| stopped())?;
            }
            Ok(())
        })
        .and_then(|()| full_sender.send(batch).map_err(|_| stopped()));
        drop(full_sender);
        match second.join() {
            Ok(made) => made.and(result),
            Err(panic) => resume_unwind(panic),
        }
    })
}

/// Reads and makes changes by turns, about `most_bytes` at a time.
fn alternate(
    maker: Maker<'_>,
    most_bytes: usize,
    read: impl FnOnce(&mut Sink<'_>) -> Result<()>,
) -> Result<()> {
    let mut batch = Batch::new(most_bytes);
    read(&mut |change| {
        batch.push(change)?;
        match batch.is_full() {
            true => batch.make(&maker),
            false => Ok(()),
        }
    })?;
    batch.make(&maker)
}
