//! What a store does as its memory budget fills up. The maintenance thread, or [`Store::maintain`], takes samples and acts;
//! a write for which there is too little acts itself, once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::{Shared, Store, memory_limit};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::buffer_pool::process_pool_if_any;
use crate::memory::epoch;
use crate::memory::pressure::{Assessment, Level, Monitor, SAMPLE_INTERVAL, Sample, Thresholds};

/// A write that acts itself stops when so many bytes have come back.
const RELIEF_BYTES: u64 = 512 << 10;

/// So often at most a write is tried again.
const MOST_RELIEFS: u32 = 8;

/// When one part in so many of the budget has come back, growth that was refused may fit.
const RECOVERED_PART: u64 = 64;

/// So long is evacuated at a time.
const EVACUATION_STEP: Duration = Duration::from_millis(50);

/// How many epochs what was replaced has to wait.
const EPOCHS: usize = 4;

/// Hears how full the budget is; see [`Store::set_memory_callback`].
pub type MemoryCallback = Box<dyn Fn(&Assessment) + Send + Sync>;

/// What watches the budget of a store.
#[derive(Default)]
pub struct Pressure {
    monitor: Mutex<Monitor>,
    /// Held while the callback runs.
    callback: Mutex<Listener>,
    /// How much was in use when a write was refused last; 0 if none was under this budget.
    refused_at: AtomicU64,
    /// A write was refused, and the callback has not been told: it is, also if memory has come back meanwhile.
    refusal_is_news: AtomicBool,
    trims: AtomicU64,
    evacuations: AtomicU64,
    /// Where the evacuation that was begun last is to go on; 0 if it is through.
    evacuate_from: AtomicU64,
}

#[derive(Default)]
struct Listener {
    callback: Option<MemoryCallback>,
    told: Level,
}

/// How often a store acted on pressure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PressureCounts {
    /// What waited for its next use was given back.
    pub trims: u64,
    /// The index was made smaller where keys had gone.
    pub evacuations: u64,
}

impl Pressure {
    /// Nobody is told any more once this returns.
    pub(super) fn silence(&self) {
        *self.callback.lock() = Listener::default();
    }

    /// How often something was done.
    pub fn counts(&self) -> PressureCounts {
        PressureCounts {
            trims: self.trims.load(Ordering::Relaxed),
            evacuations: self.evacuations.load(Ordering::Relaxed),
        }
    }
}

impl Shared {
    /// What is known of the pressure now.
    fn assess_memory(&self) -> Assessment {
        self.assess_memory_with(&self.pressure.monitor.lock())
    }

    fn assess_memory_with(&self, monitor: &Monitor) -> Assessment {
        let budget = self.budget.limit().unwrap_or(0);
        let used = self.budget.used();
        let mut assessment = monitor.assess(used, budget);
        // Growth ends where the next step of it does not fit, which is somewhat before its limit.
        let refused_at = self.pressure.refused_at.load(Ordering::Relaxed);
        if budget > 0 && refused_at > 0 && used + budget / RECOVERED_PART >= refused_at {
            assessment.set_critical();
        }
        assessment
    }

    /// How long until the next sample; `None` if there is no budget to watch.
    pub(super) fn until_memory_sample(&self) -> Option<Duration> {
        self.budget.limit()?;
        if self.is_evacuating() {
            return Some(Duration::ZERO);
        }
        let now = self.vfs().monotonic();
        let monitor = self.pressure.monitor.lock();
        let next = monitor.last_sample().map_or(now, |at| at + SAMPLE_INTERVAL);
        Some(next.saturating_sub(now))
    }

    fn is_evacuating(&self) -> bool {
        self.pressure.evacuate_from.load(Ordering::Relaxed) > 0
    }

    /// Takes a sample if it is time, does what the level calls for, and lets the callback know. Never from the data path.
    pub(super) fn watch_memory(&self) {
        let Some(budget) = self.budget.limit() else {
            return;
        };
        let now = self.vfs().monotonic();
        let (assessment, action, thresholds) = {
            let mut monitor = self.pressure.monitor.lock();
            let used = self.budget.used();
            if monitor.is_due(now) {
                monitor.sample(Sample {
                    at: now,
                    used,
                    budget,
                });
            }
            let mut assessment = self.assess_memory_with(&monitor);
            if self.pressure.refusal_is_news.swap(false, Ordering::Relaxed) {
                assessment.set_critical();
            }
            let action = monitor.escalate(now, assessment.level);
            (assessment, action, monitor.thresholds())
        };
        match action {
            Some(action) => self.act_on_pressure(action, || true),
            None if self.is_evacuating() => self.evacuate(|| true),
            None => {}
        }
        let level = thresholds.level(self.budget.used(), budget);
        let next = thresholds.next(level, budget);
        self.budget.set_alarm(next.unwrap_or(u64::MAX));
        let mut listener = self.pressure.callback.lock();
        let is_news = assessment.level != listener.told || action.is_some();
        if let Some(callback) = listener.callback.as_ref().filter(|_| is_news) {
            callback(&assessment);
            listener.told = assessment.level;
        }
    }

    /// Does what `level` calls for, until `go_on` says no.
    fn act_on_pressure(&self, level: Level, go_on: impl Fn() -> bool) {
        if level < Level::Gentle {
            return;
        }
        let index = self.share_contents().index;
        index.release_idle_memory();
        // It is one for all stores, and not of this budget; but what waits in it is what the process can do without first.
        if let Some(pool) = process_pool_if_any() {
            pool.trim();
        }
        self.pressure.trims.fetch_add(1, Ordering::Relaxed);
        if level < Level::Aggressive {
            return;
        }
        self.pressure.evacuations.fetch_add(1, Ordering::Relaxed);
        self.evacuate(go_on);
    }

    /// Goes on with the evacuation, or begins one, for some time and until `go_on` says no. The thread that does it has to sync,
    /// too.
    fn evacuate(&self, go_on: impl Fn() -> bool) {
        let index = self.share_contents().index;
        let begun = self.vfs().monotonic();
        let go_on = || {
            let elapsed = self.vfs().monotonic().saturating_sub(begun);
            go_on() && elapsed < EVACUATION_STEP && !self.closed.load(Ordering::Acquire)
        };
        let from = self.pressure.evacuate_from.load(Ordering::Relaxed);
        let next = index.evacuate(from, go_on);
        self.release_replaced();
        let next = next.filter(|_| !self.closed.load(Ordering::Acquire));
        self.pressure
            .evacuate_from
            .store(next.unwrap_or(0), Ordering::Relaxed);
    }

    /// Gives back what no reader can see any more.
    fn release_replaced(&self) {
        for _ in 0..EPOCHS {
            epoch::pin().flush();
        }
        self.share_contents().index.release_idle_memory();
    }

    /// Makes an attempt, again as long as it is refused and memory comes back: another thread that makes the index smaller takes some
    /// for that first.
    pub(super) fn relieved<T>(&self, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
        let mut reliefs = 0;
        loop {
            match attempt() {
                Err(error) if reliefs < MOST_RELIEFS && self.relieve(&error) => reliefs += 1,
                done => return done,
            }
        }
    }

    /// After `error`, which an attempt met: whether memory has been found by acting on it, so that it is worth another try. Waits a tenth of
    /// a second at most for readers of what was replaced; the caller holds no guard. The
    /// index is made smaller at most once in the time of grace.
    #[cold]
    fn relieve(&self, error: &Error) -> bool {
        if error.kind() != ErrorKind::Memory || self.budget.limit().is_none() {
            return false;
        }
        let refused_at = self.budget.used().max(1);
        self.pressure
            .refused_at
            .store(refused_at, Ordering::Relaxed);
        self.pressure.refusal_is_news.store(true, Ordering::Relaxed);
        let now = self.vfs().monotonic();
        let action = self.pressure.monitor.lock().escalate(now, Level::Emergency);
        let before = self.budget.used();
        match action {
            Some(action) => self.act_on_pressure(action, || {
                before.saturating_sub(self.budget.used()) < RELIEF_BYTES
            }),
            // What was replaced waits for readers that may have gone or soon will have.
            None => {
                epoch::outlast();
                self.release_replaced();
            }
        }
        self.budget.used() < before
    }
}

impl Store {
    /// How full the memory budget is, where that goes, and when it will be full.
    ///
    /// # Errors
    /// `Closed`.
    pub fn memory_pressure(&self) -> Result<Assessment> {
        self.shared.check_open()?;
        Ok(self.shared.assess_memory())
    }

    /// Changes the limit of the store's own memory, as [`Options::memory_budget`](super::Options::memory_budget) has it. If the
    /// store has more already, what would grow is refused until enough has been deleted.
    ///
    /// # Errors
    /// `Invalid` if not even an empty store works with as little; `Unsupported` as for the option; `Closed`.
    pub fn set_memory_budget(&self, bytes: u64) -> Result<()> {
        let shared = &*self.shared;
        shared.check_open()?;
        let limit = memory_limit::resolve(shared.vfs(), bytes)?;
        memory_limit::check(limit, &shared.options)?;
        shared.budget.set_limit(limit);
        shared.pressure.monitor.lock().end_grace();
        shared.pressure.refused_at.store(0, Ordering::Relaxed);
        self.look_at_memory();
        Ok(())
    }

    /// Changes the thresholds at which the store acts, from now on. Growth is refused from the last one on.
    ///
    /// # Errors
    /// `Invalid` unless they rise, within 1 to 1000 thousandths; `Closed`.
    pub fn set_memory_thresholds(&self, thresholds: Thresholds) -> Result<()> {
        let shared = &*self.shared;
        shared.check_open()?;
        thresholds.check()?;
        shared.pressure.monitor.lock().set_thresholds(thresholds);
        shared
            .budget
            .set_growth_part(u64::from(thresholds.emergency));
        shared.pressure.refused_at.store(0, Ordering::Relaxed);
        self.look_at_memory();
        Ok(())
    }

    /// From now on `callback` is told when the level of pressure changes, and when the store has acted on it: by the maintenance
    /// thread, or by [`Store::maintain`], never by another call. It may read and write the store, but must neither close nor
    /// maintain it, nor set a callback. When this returns, the callback before is not running any more.
    ///
    /// # Errors
    /// `Closed`.
    pub fn set_memory_callback(&self, callback: Option<MemoryCallback>) -> Result<()> {
        self.shared.check_open()?;
        let mut listener = self.shared.pressure.callback.lock();
        *listener = Listener {
            callback,
            told: Level::Normal,
        };
        drop(listener);
        self.look_at_memory();
        Ok(())
    }

    /// Has the maintenance thread look now, if there is one.
    fn look_at_memory(&self) {
        if let Some(background) = &*self.background.lock() {
            background.look_at_memory();
        }
    }
}
