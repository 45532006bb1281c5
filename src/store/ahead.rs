//! Makes ready what puts will need next: pages of the active segment, memory for the index, and the next segment of the log. A
//! thread of its own does: the one that syncs may be long at that, and a put does not wait for either.

use std::sync::Arc;

use super::Shared;
use super::thread::Thread;
use crate::error::Result;
use crate::memory::awaited::Awaited;
use crate::memory::epoch;

/// Wakes the thread, from wherever something is about to be needed.
#[derive(Clone, Default)]
pub struct Request(Arc<Awaited<State>>);

#[derive(Default)]
struct State {
    runs: bool,
    stop: bool,
    asked: bool,
}

impl Request {
    /// Wakes the thread; answers whether there is one.
    pub fn make(&self) -> bool {
        let mut state = self.0.lock();
        state.asked = true;
        let runs = state.runs;
        drop(state);
        self.0.notify();
        runs
    }
}

/// Starts the thread, which sees to what was requested before and from then on.
///
/// # Errors
/// `Memory` if memory is too short for a thread.
pub fn start(shared: &Arc<Shared>, request: &Request) -> Result<Thread> {
    let thread = Thread::start(
        c"freyja-ahead",
        {
            let (shared, request) = (shared.clone(), request.clone());
            move || run(&shared, &request.0)
        },
        {
            let request = request.clone();
            move || {
                request.0.change(|state| {
                    state.runs = false;
                    state.stop = true;
                });
            }
        },
    )?;
    request.0.change(|state| state.runs = true);
    Ok(thread)
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
        if let Some(log) = &shared.log {
            log.prepare_pages();
        }
        let index = shared.contents(&epoch::pin()).index.clone();
        index.prepare_memory();
        if let Some(log) = &shared.log {
            log.prepare_successor();
        }
    }
}
