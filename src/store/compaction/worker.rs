//! The thread that compacts in the background. It is one of its own, so that it delays no sync.

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::choice::Aim;
use super::{Shared, Work, expiry};
use crate::error::Result;
use crate::memory::awaited::Awaited;
use crate::store::image;
use crate::store::thread::Thread;

/// Whether somebody wants the worker to look for work.
#[derive(Default)]
pub(super) struct Wish {
    wanted: Awaited<bool>,
    /// Whether the worker sleeps until it is woken, since nothing that it knows of is going to expire, or is not there yet.
    sleeps_on: AtomicBool,
    /// Starts the worker if it is not there.
    start: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Wish {
    pub(super) fn wake(&self) {
        self.wanted.change(|wanted| *wanted = true);
    }

    pub(super) fn start_with(&self, start: impl Fn() + Send + Sync + 'static) {
        if self.start.set(Box::new(start)).is_ok() {
            self.sleeps_on.store(true, Ordering::Relaxed);
        }
    }

    /// Lets the worker know that a pair that expires has been written.
    pub(super) fn note_expiring(&self) {
        // Pairs with the one in `wait`: the pair is seen there, or this here.
        fence(Ordering::SeqCst);
        if self.sleeps_on.load(Ordering::Relaxed) && self.sleeps_on.swap(false, Ordering::Relaxed) {
            self.wake();
            if let Some(start) = self.start.get() {
                start();
            }
        }
    }

    /// Waits until somebody wakes the worker, or for as long as `longest` says.
    fn wait(&self, longest: impl FnOnce() -> Option<Duration>) {
        self.sleeps_on.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let longest = longest();
        self.sleeps_on.store(longest.is_none(), Ordering::Relaxed);
        let mut wanted = self.wanted.lock();
        while !*wanted {
            match longest {
                Some(longest) => {
                    (wanted, _) = self.wanted.wait_for(wanted, longest);
                    break;
                }
                None => wanted = self.wanted.wait(wanted),
            }
        }
        *wanted = false;
        self.sleeps_on.store(false, Ordering::Relaxed);
    }
}

/// Starts the thread for `shared`, which is open for writing.
pub(in crate::store) fn start_worker(shared: Arc<Shared>) -> Result<Thread> {
    let stop = Arc::new(AtomicBool::new(false));
    Thread::start(
        c"freyja-compact",
        {
            let (shared, stop) = (shared.clone(), stop.clone());
            move || run(&shared, &stop)
        },
        move || {
            stop.store(true, Ordering::Release);
            shared.compactor.wake();
        },
    )
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
            if !is_cancelled() {
                // Not at the end only: while merges run, nobody else can.
                image::write_if_due(shared);
            }
        }
        if merged && !is_cancelled() {
            super::let_go();
        }
        shared.compactor.wish.wait(|| expiry::wait(&work));
    }
}
