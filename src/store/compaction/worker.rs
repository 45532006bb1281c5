//! The thread that compacts in the background. It is one of its own, so that it delays no sync.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::choice::Aim;
use super::{Shared, Work, expiry};
use crate::error::{Error, ErrorKind, Result};
use crate::store::image;

/// Whether somebody wants the worker to look for work.
#[derive(Default)]
pub(super) struct Wish {
    wanted: Mutex<bool>,
    changed: Condvar,
    /// Whether the worker sleeps until it is woken, since nothing that it knows of is going to expire.
    sleeps_on: AtomicBool,
}

impl Wish {
    pub(super) fn wake(&self) {
        *self.wanted.lock() = true;
        self.changed.notify_all();
    }

    /// Lets the worker know that a pair that expires has been written.
    pub(super) fn note_expiring(&self) {
        if self.sleeps_on.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    /// Waits until somebody wakes the worker, or for as long as `longest` says.
    fn wait(&self, longest: impl FnOnce() -> Option<Duration>) {
        // First, so that a pair is seen by `longest`, or its writer sees this.
        self.sleeps_on.store(true, Ordering::SeqCst);
        let longest = longest();
        self.sleeps_on.store(longest.is_none(), Ordering::SeqCst);
        let mut wanted = self.wanted.lock();
        while !*wanted {
            match longest {
                Some(longest) => {
                    self.changed.wait_for(&mut wanted, longest);
                    break;
                }
                None => self.changed.wait(&mut wanted),
            }
        }
        *wanted = false;
        self.sleeps_on.store(false, Ordering::SeqCst);
    }
}

/// A running thread; dropping it stops and joins it.
pub struct Worker {
    shared: Arc<Shared>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread for `shared`, which is open for writing.
    pub(in crate::store) fn start(shared: Arc<Shared>) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new()
            .name("freyja-compactor".into())
            .spawn({
                let (shared, stop) = (shared.clone(), stop.clone());
                move || run(&shared, &stop)
            })
            .map_err(|error| {
                Error::new(
                    ErrorKind::Memory,
                    format!("a background thread could not be started: {error}"),
                )
            })?;
        Ok(Self {
            shared,
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.shared.compactor.wake();
        if let Some(thread) = self.thread.take() {
            // What it does is complete or left as it was.
            let _ = thread.join();
        }
    }
}

fn run(shared: &Shared, stop: &AtomicBool) {
    let Some(log) = &shared.log else {
        return;
    };
    let is_cancelled = || stop.load(Ordering::Acquire);
    let work = Work {
        shared,
        contents: shared.share_contents(),
        log,
        is_cancelled: &is_cancelled,
    };
    while !is_cancelled() {
        let mut merged = false;
        let _ = expiry::end_active(&work);
        // What fails, for want of space say, is tried again when the log has grown, or more has expired.
        while let Ok(Some(_)) = work.merge(Aim::Bound) {
            merged = true;
        }
        if merged && !is_cancelled() {
            image::write_if_due(shared);
            super::let_go();
        }
        shared.compactor.wish.wait(|| expiry::wait(&work));
    }
}
