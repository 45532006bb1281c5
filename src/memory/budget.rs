//! The budget: how much memory a store has, how much it may have, and who is told when it becomes scarce.
//!
//! Whoever makes memory resident takes its bytes here before, and gives them back when the system has them again. Three
//! things are told apart:
//! - pages of the arena, exactly;
//! - blocks of the C library's heap. It keeps what is freed, so that the most that there ever was at a time counts;
//! - loans, which do not count for growth: memory of bounded work, such as an image, an iterator, or the merging of segments.
//!
//! Growth stops short of the limit, so that a reserve is left for loans and for whatever makes the store smaller: see
//! [`MemoryBudget::with_reserve`].

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};

/// So much of a limit is never used by growth: enough to rebuild a shard, or for an iterator.
pub const LEAST_RESERVE_BYTES: usize = 512 << 10;

/// So much of the reserve is for what must go on while memory that was replaced still waits for its last reader: the next
/// segment file of a store that only deletes.
const LAST_BYTES: usize = 64 << 10;

/// Growth stops at this part of the limit, in thousandths, unless it is told otherwise.
const GROWTH_PART: u64 = 950;

/// What the C library's heap takes for blocks, over what was asked for: heads, rounding, gaps between them.
const HEAP_NUMERATOR: usize = 5;
const HEAP_DENOMINATOR: usize = 4;

thread_local! {
    static MAY_USE: Cell<Access> = const { Cell::new(Access::Growth) };
}

/// How far a thread may go.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Access {
    /// Up to the limit of growth.
    Growth,
    /// Into the reserve.
    Reserve,
    /// To the end.
    Last,
}

/// How much memory a store has and may have, in bytes. All methods may be called from any thread.
pub struct MemoryBudget {
    limit: AtomicUsize,
    /// In thousandths of the limit.
    growth_part: AtomicU64,
    /// Follows from the two.
    growth_limit: AtomicUsize,
    /// With what is lent.
    used: AtomicUsize,
    /// Of it, what is lent, or less.
    lent: AtomicUsize,
    /// From so many bytes on somebody is told, once.
    alarm: AtomicUsize,
    /// The next refusal is told, too.
    tells_refusal: AtomicBool,
    tell: OnceLock<Box<dyn Fn() + Send + Sync>>,
    refusals: AtomicU64,
    heap: Mutex<Heap>,
}

#[derive(Default)]
struct Heap {
    now: usize,
    most: usize,
}

/// Bytes of the heap that are in use as long as this lives.
pub struct HeapCharge {
    budget: Arc<MemoryBudget>,
    bytes: usize,
}

/// Bytes that are lent as long as this lives.
pub struct Loan {
    budget: Arc<MemoryBudget>,
    bytes: usize,
}

impl Default for MemoryBudget {
    /// Without a limit: it only counts.
    fn default() -> Self {
        Self::new(0)
    }
}

impl MemoryBudget {
    /// A budget of `limit` bytes; 0 stands for no limit.
    pub fn new(limit: u64) -> Self {
        let budget = Self {
            limit: AtomicUsize::new(usize::MAX),
            growth_part: AtomicU64::new(GROWTH_PART),
            growth_limit: AtomicUsize::new(usize::MAX),
            used: AtomicUsize::new(0),
            lent: AtomicUsize::new(0),
            alarm: AtomicUsize::new(usize::MAX),
            tells_refusal: AtomicBool::new(false),
            tell: OnceLock::new(),
            refusals: AtomicU64::new(0),
            heap: Mutex::default(),
        };
        budget.set_limit(limit);
        budget
    }

    /// Changes the limit; 0 stands for none. What is in use stays in use, also if it is more.
    pub fn set_limit(&self, limit: u64) {
        let limit = match limit {
            0 => usize::MAX,
            limit => usize::try_from(limit).unwrap_or(usize::MAX),
        };
        self.limit.store(limit, Ordering::Relaxed);
        self.set_growth_limit();
    }

    /// Lets growth go on up to so many thousandths of the limit, 1000 at most, but never into the last
    /// [`LEAST_RESERVE_BYTES`].
    pub fn set_growth_part(&self, thousandths: u64) {
        self.growth_part
            .store(thousandths.min(1000), Ordering::Relaxed);
        self.set_growth_limit();
    }

    fn set_growth_limit(&self) {
        let limit = self.limit.load(Ordering::Relaxed);
        let growth = match limit {
            usize::MAX => usize::MAX,
            limit => {
                let part = u128::from(self.growth_part.load(Ordering::Relaxed));
                let growth = (limit as u128 * part / 1000) as usize;
                growth.min(limit.saturating_sub(LEAST_RESERVE_BYTES))
            }
        };
        self.growth_limit.store(growth, Ordering::Relaxed);
    }

    /// The limit in bytes; `None` if there is none.
    pub fn limit(&self) -> Option<u64> {
        match self.limit.load(Ordering::Relaxed) {
            usize::MAX => None,
            limit => Some(limit as u64),
        }
    }

    /// Up to how many bytes growth goes on; `None` if there is no limit.
    pub fn growth_limit(&self) -> Option<u64> {
        match self.growth_limit.load(Ordering::Relaxed) {
            usize::MAX => None,
            limit => Some(limit as u64),
        }
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed) as u64
    }

    /// Bytes that loans can still have.
    pub fn available(&self) -> usize {
        let limit = self.limit.load(Ordering::Relaxed);
        let limit = limit.saturating_sub(LAST_BYTES);
        limit.saturating_sub(self.used.load(Ordering::Relaxed))
    }

    /// How often memory was refused so far because of the limit.
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    /// From now on `tell` is called when what is in use comes to an [alarm](MemoryBudget::set_alarm). It is called with locks
    /// held: it must come back soon, and must not call the budget. Only the first call counts.
    pub fn tell_when_scarce(&self, tell: impl Fn() + Send + Sync + 'static) {
        // Whoever was there first hears of the same.
        let _ = self.tell.set(Box::new(tell));
    }

    /// The next time that `bytes` or more are in use somebody is told, once; and the next time that something is refused.
    pub fn set_alarm(&self, bytes: u64) {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.alarm.store(bytes, Ordering::Relaxed);
        self.tells_refusal.store(true, Ordering::Relaxed);
    }

    /// Calls `shrink`, which may use the reserve: it ends with less memory in use than there was, or is needed to get at what
    /// is there.
    pub fn with_reserve<R>(shrink: impl FnOnce() -> R) -> R {
        Self::with(Access::Reserve, shrink)
    }

    /// Calls `go_on`, which may use the last of the reserve: little, and nothing could be deleted without it.
    pub fn with_last_reserve<R>(go_on: impl FnOnce() -> R) -> R {
        Self::with(Access::Last, go_on)
    }

    fn with<R>(access: Access, call: impl FnOnce() -> R) -> R {
        struct Restored(Access);
        impl Drop for Restored {
            fn drop(&mut self) {
                MAY_USE.set(self.0);
            }
        }
        let before = MAY_USE.get();
        let _restored = Restored(before);
        MAY_USE.set(before.max(access));
        call()
    }

    /// Takes `bytes` that are about to become resident.
    ///
    /// # Errors
    /// `Memory` if they would burst the budget: then nothing was taken.
    pub fn take(&self, bytes: usize) -> Result<()> {
        match self.try_take(bytes) {
            true => Ok(()),
            false => Err(self.refuse(bytes)),
        }
    }

    /// [`MemoryBudget::take`] for who can do without, which is not counted as refused.
    #[must_use]
    pub fn try_take(&self, bytes: usize) -> bool {
        let access = MAY_USE.get();
        let limit = match (self.limit.load(Ordering::Relaxed), access) {
            (usize::MAX, _) => usize::MAX,
            (limit, Access::Last) => limit,
            (limit, _) => limit.saturating_sub(LAST_BYTES),
        };
        // Loans have the reserve, so that growth does not have to wait for them.
        let growth_limit = match access {
            Access::Growth => self.growth_limit.load(Ordering::Relaxed),
            _ => usize::MAX,
        };
        let lent = self.lent.load(Ordering::Acquire);
        let fits = |used: usize| {
            let used = used.checked_add(bytes)?;
            (used <= limit && used.saturating_sub(lent) <= growth_limit).then_some(used)
        };
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        let taken = taken.inspect(|before| self.sound_alarm(before + bytes));
        taken.is_ok()
    }

    /// [`MemoryBudget::take`] for what is there in any case, and small.
    pub fn take_unasked(&self, bytes: usize) {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        self.sound_alarm(before + bytes);
    }

    /// Gives back what was taken.
    pub fn give_back(&self, bytes: usize) {
        let before = self.used.fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(before >= bytes, "more is given back than was taken");
    }

    /// Takes `bytes` for work that ends; they may come from the reserve.
    ///
    /// # Errors
    /// `Memory` if they would burst the budget.
    pub fn lend(self: &Arc<Self>, bytes: usize) -> Result<Loan> {
        Self::with_reserve(|| self.take(bytes))?;
        self.lent.fetch_add(bytes, Ordering::Release);
        Ok(Loan {
            budget: self.clone(),
            bytes,
        })
    }

    /// Takes `bytes` of the heap.
    ///
    /// # Errors
    /// `Memory` if they would burst the budget.
    pub fn charge(self: &Arc<Self>, bytes: usize) -> Result<HeapCharge> {
        let mut heap = self.heap.lock();
        let now = heap.now + bytes;
        if now > heap.most {
            self.take(of_heap(now) - of_heap(heap.most))?;
            heap.most = now;
        }
        heap.now = now;
        Ok(HeapCharge {
            budget: self.clone(),
            bytes,
        })
    }

    fn sound_alarm(&self, used: usize) {
        if used < self.alarm.load(Ordering::Relaxed) {
            return;
        }
        if self.alarm.swap(usize::MAX, Ordering::Relaxed) != usize::MAX
            && let Some(tell) = self.tell.get()
        {
            tell();
        }
    }

    #[cold]
    fn refuse(&self, bytes: usize) -> Error {
        self.refusals.fetch_add(1, Ordering::Relaxed);
        if self.tells_refusal.swap(false, Ordering::Relaxed)
            && let Some(tell) = self.tell.get()
        {
            tell();
        }
        let used = self.used();
        let limit = self.limit().unwrap_or(u64::MAX);
        let kept = limit - self.growth_limit().unwrap_or(limit).min(limit);
        Error::new(
            ErrorKind::Memory,
            format!(
                "the memory budget of {limit} bytes is used up: {used} bytes are in use, {bytes} more are wanted, and {kept} \
                 are kept for reading, deleting and maintenance; delete keys, raise the budget, or keep keys on disk"
            ),
        )
    }
}

fn of_heap(bytes: usize) -> usize {
    bytes / HEAP_DENOMINATOR * HEAP_NUMERATOR
}

impl Drop for HeapCharge {
    fn drop(&mut self) {
        self.budget.heap.lock().now -= self.bytes;
    }
}

impl Loan {
    /// Bytes of the loan.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        // First, so that no more counts as lent than is.
        self.budget.lent.fetch_sub(self.bytes, Ordering::AcqRel);
        self.budget.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests;
