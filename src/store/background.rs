//! The store's background thread: adopts what an earlier run left, seals full segments, syncs at a fixed rate, writes images,
//! watches the memory budget, and starts the other threads when there is something for them to do: a small store has this one.

use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::ahead::{self, Request, Task as AheadTask};
use super::commit_log::Scope;
use super::memory_limit::COMPACTION_BYTES;
use super::options::{Compaction, SyncMode};
use super::thread::Thread;
use super::{compaction, disposer, image};
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
    /// There may be something to compact.
    compacts: bool,
    /// Memory has become scarce, or what counts as scarce has changed.
    scarce: bool,
}

enum Task {
    /// Segments are full.
    Seal,
    /// It is time to sync.
    Sync,
    /// Something will be needed that takes time to make.
    StartAhead,
    /// Something may be worth compacting now or later.
    StartCompaction,
    /// It is time to look at the memory budget.
    WatchMemory,
}

/// What wakes the threads that make things ready, in the order of [`AheadTask::ALL`].
type Requests = [Request; AheadTask::ALL.len()];

/// The threads that this one has started. They end in this order.
#[derive(Default)]
struct Helpers {
    ahead: [Option<Thread>; AheadTask::ALL.len()],
    compactor: Option<Thread>,
    /// Takes what the one before lets go of.
    disposer: Option<Thread>,
    /// The budget has been charged for the last two.
    compaction_is_counted: bool,
}

impl Helpers {
    /// Without memory for a thread the index grows in small pages, and puts make segments, until they are asked for again.
    fn start_ahead(&mut self, shared: &Arc<Shared>, requests: &Requests) {
        for ((thread, task), request) in self.ahead.iter_mut().zip(AheadTask::ALL).zip(requests) {
            if thread.is_none() && request.is_open() {
                *thread = ahead::start(shared, task, request).ok();
            }
        }
    }

    /// Without memory for the threads nothing is compacted, and whoever lets go of a segment closes it, until the next segment is
    /// full.
    fn start_compaction(&mut self, shared: &Arc<Shared>) {
        if self.disposer.is_none() {
            self.disposer = disposer::start(shared.share_contents().segments.disposal()).ok();
        }
        if self.compactor.is_none() && shared.options.compaction == Compaction::Automatic {
            self.compactor = compaction::start_worker(shared.clone()).ok();
        }
        if !std::mem::replace(&mut self.compaction_is_counted, true) {
            shared.budget.take_unasked(COMPACTION_BYTES);
        }
    }
}

impl Background {
    /// Starts the thread for `shared`, which is open for writing.
    pub fn start(shared: Arc<Shared>) -> Result<Self> {
        let signal = Arc::new(Awaited::default());
        // Earlier runs may have left garbage, and pairs that expire.
        let has_segments = shared.share_contents().segments.totals().segments > 0;
        signal.change(|state: &mut State| state.compacts = has_segments);
        if shared.options.compaction == Compaction::Automatic {
            let signal = signal.clone();
            let start = move || signal.change(|state| state.compacts = true);
            shared.compactor.start_with(start);
        }
        let requests = Requests::default();
        let [for_memory, for_segments] = requests.clone().map(|request| {
            let signal = signal.clone();
            move || {
                if !request.make() {
                    signal.change(|state: &mut State| state.grows = true);
                }
            }
        });
        let guard = epoch::pin();
        let index = &shared.contents(&guard).index;
        index.ask_before_growth(for_memory.clone());
        if let Some(log) = &shared.log {
            log.ask_for_pages(for_memory);
            log.ask_for_successor(for_segments);
        }
        drop(guard);
        shared.budget.tell_when_scarce({
            let signal = signal.clone();
            move || signal.change(|state: &mut State| state.scarce = true)
        });
        let thread = Thread::start(
            c"freyja",
            {
                let signal = signal.clone();
                move || run(&shared, &signal, &requests)
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

fn run(shared: &Arc<Shared>, signal: &Awaited<State>, requests: &Requests) {
    let Some(log) = &shared.log else {
        return;
    };
    // If it fails, writing has stopped; whoever writes hears of it.
    let _ = log.finish_adoption();
    let interval = Duration::from_millis(u64::from(shared.options.sync_interval_ms));
    let clock = || log.place().vfs.monotonic();
    let mut next_sync = clock() + interval;
    let mut helpers = Helpers::default();
    while let Some(task) = next_task(shared, signal, || next_sync.saturating_sub(clock())) {
        // A failure has stopped writing and is kept there; whoever writes next hears of it.
        match task {
            Task::Seal => {
                if log.sync(Scope::FullSegments).is_ok() {
                    image::write_if_due(shared);
                    helpers.start_compaction(shared);
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
            Task::StartAhead => helpers.start_ahead(shared, requests),
            Task::StartCompaction => helpers.start_compaction(shared),
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
        if std::mem::take(&mut state.compacts) {
            return Some(Task::StartCompaction);
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
