//! Handles of pinned values.
//!
//! ```text
//!  63      56 55     52 51                      20 19     16 15           0
//! ┌──────────┬─────────┬──────────────────────────┬─────────┬──────────────┐
//! │   kind   │  forks  │        generation        │  shard  │     slot     │
//! └──────────┴─────────┴──────────────────────────┴─────────┴──────────────┘
//! ```
//!
//! As with other handles a number, checked against a table. But pins come and go with every read, so that a handle
//! is made and given up without an allocation: the table is written in place, under the lock of one of its shards. Each
//! thread has a shard that it begins with, so that they seldom meet.
//!
//! In a forked child locks may be held for ever by threads that are not there. Whoever makes a handle takes the
//! next shard instead, and a handle says by itself that it is the parent's.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use super::fork;
use super::handle::{closed, made_up};
use crate::error::{Error, ErrorKind, Result};

const KIND: usize = 4;

/// Widths of the parts in bits, from the lowest.
#[cfg(target_pointer_width = "64")]
const WIDTHS: [u32; 4] = [16, 4, 32, 4];
#[cfg(not(target_pointer_width = "64"))]
const WIDTHS: [u32; 4] = [6, 4, 14, 2];

const SHARDS: usize = 1 << WIDTHS[1];

const KIND_SHIFT: u32 = WIDTHS[0] + WIDTHS[1] + WIDTHS[2] + WIDTHS[3];
const SLOTS: usize = 1 << WIDTHS[0];
const GENERATIONS: usize = 1 << WIDTHS[2];
/// A slot whose generations are used up is not used again where that takes billions of pins.
const RETIRES: bool = cfg!(target_pointer_width = "64");

/// A table of handles to `T`. All methods may be called from any thread at once.
pub struct PinTable<T> {
    shards: [CachePadded<Shard<T>>; SHARDS],
}

struct Shard<T> {
    slots: Mutex<Slots<T>>,
    /// How many pins of this process are in it; changed under the lock.
    held: AtomicU64,
}

struct Slots<T> {
    all: Vec<Slot<T>>,
    first_free: Option<usize>,
}

struct Slot<T> {
    /// How many handles it had before.
    generation: usize,
    content: Content<T>,
}

enum Content<T> {
    Held(T),
    Free { next: Option<usize> },
}

impl<T> PinTable<T> {
    /// An empty table.
    pub const fn new() -> Self {
        Self {
            shards: [const { CachePadded::new(Shard::new()) }; SHARDS],
        }
    }

    /// A new handle to `value`; an error if there are about a million, or no memory.
    pub fn insert(&self, mut value: T) -> Result<usize> {
        let own = own_shard();
        for number in (own..SHARDS).chain(0..own) {
            let shard = &self.shards[number];
            if let Some(mut slots) = shard.slots.try_lock() {
                match shard.put(&mut slots, number, value) {
                    Ok(handle) => return Ok(handle),
                    Err(back) => value = back,
                }
            }
        }
        let shard = &self.shards[own];
        let put = shard.put(&mut shard.slots.lock(), own, value);
        put.map_err(|_| Error::memory("one more pin"))
    }

    /// Makes `handle` invalid and answers what it stood for. Of several threads that take one handle, one succeeds.
    pub fn take(&self, handle: usize) -> Result<T> {
        if handle >> KIND_SHIFT != KIND {
            return Err(made_up());
        }
        let [slot, shard, generation, forks] = parts(handle);
        if forks != own_forks() {
            return Err(Error::new(
                ErrorKind::Forked,
                "the pin was made by a parent of this process",
            ));
        }
        self.shards[shard].take(slot, generation)
    }

    /// How many handles there are.
    pub fn held(&self) -> u64 {
        let shards = self.shards.iter();
        shards.map(|it| it.held.load(Ordering::Relaxed)).sum()
    }

    /// To be called in the child after `fork`: what the parent holds counts there.
    pub fn forget_in_child(&self) {
        for shard in &self.shards {
            shard.held.store(0, Ordering::Relaxed);
        }
    }
}

impl<T> Shard<T> {
    const fn new() -> Self {
        Self {
            slots: Mutex::new(Slots {
                all: Vec::new(),
                first_free: None,
            }),
            held: AtomicU64::new(0),
        }
    }

    /// Gives `value` back if there is no room for it. `number` is the shard's own.
    fn put(&self, slots: &mut Slots<T>, number: usize, value: T) -> std::result::Result<usize, T> {
        let Some(place) = slots.claim() else {
            return Err(value);
        };
        let Slot {
            generation,
            content,
        } = &mut slots.all[place];
        *content = Content::Held(value);
        self.held.fetch_add(1, Ordering::Relaxed);
        Ok(handle_of([place, number, *generation, own_forks()]))
    }

    fn take(&self, place: usize, generation: usize) -> Result<T> {
        let mut slots = self.slots.lock();
        let Slots { all, first_free } = &mut *slots;
        let slot = all.get_mut(place).ok_or_else(made_up)?;
        if slot.generation != generation || matches!(slot.content, Content::Free { .. }) {
            return Err(closed());
        }
        let free = Content::Free { next: *first_free };
        let Content::Held(value) = std::mem::replace(&mut slot.content, free) else {
            return Err(closed());
        };
        slot.generation = (generation + 1) % GENERATIONS;
        if slot.generation > 0 || !RETIRES {
            *first_free = Some(place);
        }
        self.held.fetch_sub(1, Ordering::Relaxed);
        Ok(value)
    }
}

impl<T> Slots<T> {
    /// A free slot, which is no longer listed as free.
    fn claim(&mut self) -> Option<usize> {
        if let Some(place) = self.first_free {
            if let Content::Free { next } = self.all[place].content {
                self.first_free = next;
            }
            return Some(place);
        }
        let place = self.all.len();
        if place == SLOTS || self.all.try_reserve(1).is_err() {
            return None;
        }
        self.all.push(Slot {
            generation: 0,
            content: Content::Free { next: None },
        });
        Some(place)
    }
}

/// Slot, shard, generation and forks as a handle.
fn handle_of(parts: [usize; 4]) -> usize {
    let joined = parts.iter().zip(WIDTHS).rev();
    joined.fold(KIND, |handle, (part, width)| handle << width | part)
}

fn parts(handle: usize) -> [usize; 4] {
    let mut rest = handle;
    WIDTHS.map(|width| {
        let part = rest % (1 << width);
        rest >>= width;
        part
    })
}

fn own_forks() -> usize {
    fork::count() as usize % (1 << WIDTHS[3])
}

/// The shard that this thread begins with.
fn own_shard() -> usize {
    thread_local! {
        static SHARD: Cell<Option<usize>> = const { Cell::new(None) };
    }
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    SHARD.get().unwrap_or_else(|| {
        let shard = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
        SHARD.set(Some(shard));
        shard
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn refused<T>(result: Result<T>) -> Option<ErrorKind> {
        result.err().map(|error| error.kind())
    }

    #[test]
    fn a_handle_takes_its_own_value_once() {
        let table = PinTable::new();
        let handles: Vec<_> = (0..3000).map(|n| table.insert(n).unwrap()).collect();
        assert_eq!(handles.iter().collect::<HashSet<_>>().len(), 3000);
        assert_eq!(table.held(), 3000);
        for (number, handle) in handles.iter().enumerate() {
            assert_eq!(table.take(*handle).unwrap(), number);
            assert_eq!(refused(table.take(*handle)), Some(ErrorKind::Closed));
        }
        assert_eq!(table.held(), 0);
    }

    #[test]
    fn a_handle_that_was_given_up_takes_nothing_when_its_slot_is_used_again() {
        let table = PinTable::new();
        let old: Vec<_> = (0..1000)
            .map(|n| {
                let handle = table.insert(n).unwrap();
                table.take(handle).unwrap();
                handle
            })
            .collect();
        assert_eq!(old.iter().collect::<HashSet<_>>().len(), 1000);
        let live = table.insert(7).unwrap();
        for handle in old {
            assert_eq!(refused(table.take(handle)), Some(ErrorKind::Closed));
        }
        assert_eq!(table.take(live).unwrap(), 7);
        let slots = table.shards.iter().map(|it| it.slots.lock().all.len());
        assert_eq!(slots.sum::<usize>(), 1);
    }

    #[test]
    fn made_up_numbers_addresses_and_other_handles_are_refused() {
        let table = PinTable::new();
        let live = table.insert(1).unwrap();
        let here = std::ptr::from_ref(&table).addr();
        let other_kind = live ^ 1 << KIND_SHIFT;
        for handle in [
            0,
            1,
            here,
            usize::MAX,
            other_kind,
            live + 1,
            live ^ 1 << WIDTHS[0],
        ] {
            assert_eq!(refused(table.take(handle)), Some(ErrorKind::Invalid));
        }
        let of_parent = live ^ 1 << (KIND_SHIFT - 1);
        assert_eq!(refused(table.take(of_parent)), Some(ErrorKind::Forked));
        assert_eq!(table.take(live).unwrap(), 1);
    }

    #[test]
    fn a_slot_whose_generations_are_used_up_is_not_used_again() {
        let table = PinTable::new();
        let first = table.insert(1).unwrap();
        table.take(first).unwrap();
        let [slot, shard, ..] = parts(first);
        table.shards[shard].slots.lock().all[slot].generation = GENERATIONS - 1;
        let handles: Vec<_> = (0..100)
            .map(|n| {
                let handle = table.insert(n).unwrap();
                table.take(handle).unwrap();
                handle
            })
            .collect();
        assert_eq!(handles.iter().collect::<HashSet<_>>().len(), 100);
        let same = handles
            .iter()
            .filter(|it| parts(**it)[..2] == [slot, shard]);
        assert!(!RETIRES || same.count() == 1);
    }

    #[test]
    fn while_the_locks_of_some_shards_are_held_others_are_used() {
        let table = PinTable::new();
        let locked: Vec<_> = table.shards[1..].iter().map(|it| it.slots.lock()).collect();
        let handles: Vec<_> = (0..40).map(|n| table.insert(n).unwrap()).collect();
        assert!(handles.iter().all(|handle| parts(*handle)[1] == 0));
        drop(locked);
        assert_eq!(table.held(), 40);
    }

    #[test]
    fn a_full_shard_leaves_the_rest_to_others() {
        let table = PinTable::new();
        let handles: Vec<_> = (0..SLOTS + 10).map(|n| table.insert(n).unwrap()).collect();
        for (number, handle) in handles.into_iter().enumerate() {
            assert_eq!(table.take(handle).unwrap(), number);
        }
    }

    #[test]
    fn threads_never_take_each_others_values_and_one_handle_is_taken_once() {
        let table = PinTable::new();
        let contended: Vec<_> = (0..200).map(|n| table.insert(n).unwrap()).collect();
        let taken: usize = std::thread::scope(|scope| {
            let work = |thread: usize| {
                let (table, contended) = (&table, &contended);
                move || {
                    for round in 0..2000 {
                        let value = thread * 1_000_000 + round;
                        let handle = table.insert(value).unwrap();
                        assert_eq!(table.take(handle).unwrap(), value);
                    }
                    contended
                        .iter()
                        .filter(|it| table.take(**it).is_ok())
                        .count()
                }
            };
            let threads: Vec<_> = (1..5).map(|thread| scope.spawn(work(thread))).collect();
            threads.into_iter().map(|it| it.join().unwrap()).sum()
        });
        assert_eq!(taken, 200);
        assert_eq!(table.held(), 0);
    }
}
