//! Makes ready the memory that the index will need next. A thread of its own does: the one that syncs may be long at that, and a
//! put does not wait for either.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::{Shared, thread};
use crate::error::Result;
use crate::memory::awaited::Awaited;
use crate::memory::epoch;

/// Wakes the thread, from wherever the index is about to grow.
#[derive(Clone, Default)]
pub struct Request(Arc<Asked>);

#[derive(Default)]
struct Asked {
    state: Awaited<State>,
    runs: AtomicBool,
}

#[derive(Default)]
struct State {
    stop: bool,
    asked: bool,
}

/// The running thread; dropping it stops and joins it.
pub struct Ahead {
    request: Request,
    thread: Option<JoinHandle<()>>,
}

impl Request {
    /// Wakes the thread; answers whether there is one.
    pub fn make(&self) -> bool {
        self.0.state.change(|state| state.asked = true);
        self.0.runs.load(Ordering::Relaxed)
    }
}

impl Ahead {
    /// Starts the thread, which sees to what was requested before and from then on.
    ///
    /// # Errors
    /// `Memory` if memory is too short for a thread.
    pub fn start(shared: &Arc<Shared>, request: Request) -> Result<Self> {
        let thread = thread::start("freyja-ahead", {
            let (shared, request) = (shared.clone(), request.clone());
            move || run(&shared, &request.0.state)
        })?;
        request.0.runs.store(true, Ordering::Relaxed);
        Ok(Self {
            request,
            thread: Some(thread),
        })
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.request.0.runs.store(false, Ordering::Relaxed);
        self.request.0.state.change(|state| state.stop = true);
        if let Some(thread) = self.thread.take() {
            // It catches nothing and holds nothing that a panic of it could leave half done.
            let _ = thread.join();
        }
    }
}

fn run(shared: &Shared, signal: &Awaited<State>) {
    loop {
        let mut state = signal.lock();
        while !state.asked && !state.stop {
            state = signal.wait(state);
        }
        if state.stop {
            return;
        }
        state.asked = false;
        drop(state);
        let index = shared.contents(&epoch::pin()).index.clone();
        index.prepare_memory();
    }
}
