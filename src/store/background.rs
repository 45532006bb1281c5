//! The store's background thread: adopts what an earlier run left, seals full segments, syncs at a fixed rate, writes images,
//! watches the memory budget, and starts the thread that makes memory ready as soon as the index is large enough for that.

use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::ahead::{self, Request};
use super::commit_log::Scope;
use super::image;
use super::options::SyncMode;
use super::thread::Thread;
use crate::error::Result;
use crate::memory::awaited::Awaited;
use crate::memory::epoch;

/// A running thread; dropping it stops and joins it.
pub struct Background {
    signal: Arc<Awaited<State>>,
    _thread: Thread,
}

#[derive(Default)]
struct State {
    stop: bool,
    work: bool,
    grows: bool,
    /// Memory has become scarce, or what counts as scarce has changed.
    scarce: bool,
}

enum Task {
    /// Segments are full.
    Seal,
    /// It is time to sync.
    Sync,
    /// The index has become large.
    StartAhead,
    /// It is time to look at the memory budget.
    WatchMemory,
}

impl Background {
    /// Starts the thread for `shared`, which is open for writing.
    pub fn start(shared: Arc<Shared>) -> Result<Self> {
        let signal = Arc::new(Awaited::default());
        let request = Request::default();
        let guard = epoch::pin();
        shared.contents(&guard).index.ask_before_growth({
            let (signal, request) = (signal.clone(), request.clone());
            move || {
                if !request.make() {
                    signal.change(|state: &mut State| state.grows = true);
                }
            }
        });
        drop(guard);
        shared.budget.tell_when_scarce({
            let signal = signal.clone();
            move || signal.change(|state: &mut State| state.scarce = true)
        });
        let thread = Thread::start(
            "freyja",
            {
                let signal = signal.clone();
                move || run(&shared, &signal, &request)
            },
            {
                let signal = signal.clone();
                move || signal.change(|state| state.stop = true)
            },
        )?;
        Ok(Self {
            signal,
            _thread: thread,
        })
    }

    /// Has the thread look at the memory budget.
    pub fn look_at_memory(&self) {
        self.signal.change(|state| state.scarce = true);
    }

    /// Tells the thread that a segment is full.
    pub fn wake(&self) {
        self.signal.change(|state| state.work = true);
    }
}

fn run(shared: &Arc<Shared>, signal: &Awaited<State>, request: &Request) {
    let Some(log) = &shared.log else {
        return;
    };
    // If it fails, writing has stopped; whoever writes hears of it.
    let _ = log.finish_adoption();
    let interval = Duration::from_millis(u64::from(shared.options.sync_interval_ms));
    let clock = || log.place().vfs.monotonic();
    let mut next_sync = clock() + interval;
    let mut ahead = None;
    while let Some(task) = next_task(shared, signal, || next_sync.saturating_sub(clock())) {
        // A failure has stopped writing and is kept there; whoever writes next hears of it.
        match task {
            Task::Seal => {
                if log.sync(Scope::FullSegments).is_ok() {
                    image::write_if_due(shared);
                    shared.compactor.wake();
                }
            }
            Task::Sync => {
                // Counted from the last due time, so that the rate holds however long a sync takes and
                // whatever is written meanwhile.
                next_sync = (next_sync + interval).max(clock());
                let _ = log.sync(Scope::Everything);
            }
            Task::WatchMemory => shared.watch_memory(),
            // Without memory for a thread the index grows in small pages, and asks again for the next large one.
            Task::StartAhead => {
                if ahead.is_none() {
                    ahead = ahead::start(shared, request).ok();
                }
            }
        }
    }
}

/// Waits for work; `None` to end.
fn next_task(
    shared: &Shared,
    signal: &Awaited<State>,
    until_sync: impl Fn() -> Duration,
) -> Option<Task> {
    let mut state = signal.lock();
    loop {
        if state.stop {
            return None;
        }
        if std::mem::take(&mut state.grows) {
            return Some(Task::StartAhead);
        }
        if std::mem::take(&mut state.work) {
            return Some(Task::Seal);
        }
        if std::mem::take(&mut state.scarce) {
            return Some(Task::WatchMemory);
        }
        let syncs = shared.options.sync_mode == SyncMode::Interval;
        let sync = syncs.then(|| (until_sync(), Task::Sync));
        let look = shared.until_memory_sample();
        let look = look.map(|longest| (longest, Task::WatchMemory));
        let Some((longest, task)) = sync.into_iter().chain(look).min_by_key(|it| it.0) else {
            state = signal.wait(state);
            continue;
        };
        let (held, passed) = signal.wait_for(state, longest);
        state = held;
        if passed {
            return Some(task);
        }
    }
}
