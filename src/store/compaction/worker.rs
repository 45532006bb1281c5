//! The thread that compacts in the background. It is one of its own, so that it delays no sync.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use super::choice::Aim;
use super::{Shared, Work};
use crate::error::Result;
use crate::store::{image, thread};

/// Whether somebody wants the worker to look for work.
#[derive(Default)]
pub(super) struct Wish {
    wanted: Mutex<bool>,
    changed: Condvar,
}

impl Wish {
    pub(super) fn wake(&self) {
        *self.wanted.lock() = true;
        self.changed.notify_all();
    }

    fn wait(&self) {
        let mut wanted = self.wanted.lock();
        while !std::mem::take(&mut *wanted) {
            self.changed.wait(&mut wanted);
        }
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
        let thread = thread::start("freyja-compactor", {
            let (shared, stop) = (shared.clone(), stop.clone());
            move || run(&shared, &stop)
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
        // What fails, for want of space say, is tried again when the log has grown.
        while let Ok(Some(_)) = work.merge(Aim::Bound) {
            merged = true;
        }
        if merged && !is_cancelled() {
            image::write_if_due(shared);
            super::let_go();
        }
        shared.compactor.wish.wait();
    }
}
