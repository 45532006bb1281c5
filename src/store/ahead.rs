//! Makes ready what puts will need next, in two threads of their own, since the one that syncs may be long at that: one sees to
//! pages of the active segment and memory for the index, the other makes the next segments of the log. That takes a sync, which the
//! first does not wait for. A put waits for none of them.

use std::ffi::CStr;
use std::sync::Arc;

use super::Shared;
use super::thread::Thread;
use crate::error::Result;
use crate::memory::awaited::Awaited;
use crate::memory::epoch;

/// What is to be made ready.
#[derive(Clone, Copy)]
pub enum Task {
    /// Pages of the active segment, and memory for the index.
    Memory,
    /// Segments.
    Segments,
}

impl Task {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Memory, Self::Segments];

    fn carry_out(self, shared: &Shared) {
        match (self, &shared.log) {
            (Self::Memory, log) => {
                if let Some(log) = log {
                    log.prepare_pages();
                }
                let index = shared.contents(&epoch::pin()).index.clone();
                index.prepare_memory();
            }
            (Self::Segments, Some(log)) => log.prepare_successor(),
            (Self::Segments, None) => {}
        }
    }

    fn thread_name(self) -> &'static CStr {
        match self {
            Self::Memory => c"freyja-ahead",
            Self::Segments => c"freyja-segments",
        }
    }
}

/// Wakes a thread, from wherever something is about to be needed.
#[derive(Clone, Default)]
pub struct Request(Arc<Awaited<State>>);

#[derive(Default)]
struct State {
    runs: bool,
    stop: bool,
    asked: bool,
}

impl Request {
    /// Whether nobody has seen to it.
    pub fn is_open(&self) -> bool {
        self.0.lock().asked
    }

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

/// Starts the thread for `task`, which sees to what was requested before and from then on.
///
/// # Errors
/// `Memory` if memory is too short for a thread.
pub fn start(shared: &Arc<Shared>, task: Task, request: &Request) -> Result<Thread> {
    let thread = Thread::start(
        task.thread_name(),
        {
            let (shared, request) = (shared.clone(), request.clone());
            move || run(&shared, task, &request.0)
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

fn run(shared: &Shared, task: Task, signal: &Awaited<State>) {
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
        task.carry_out(shared);
    }
}
