//! Handles: what a caller holds is a number, not an address.
//!
//! ```text
//!  63      56 55                          20 19             0
//! ┌──────────┬──────────────────────────────┬────────────────┐
//! │   kind   │          generation          │      slot      │
//! └──────────┴──────────────────────────────┴────────────────┘
//! ```
//!
//! The number is checked against a table before anything is touched, so a handle that was closed, made up,
//! or is of another kind gets an error. With its nonzero highest byte it is never the address of anything,
//! so real pointers are recognised too, and garbage collectors that look at pointers leave it alone.
//! Looking a handle up takes no lock and writes nothing that threads share.

use std::sync::{Arc, OnceLock};

use crate::error::{Error, ErrorKind, Result};
use crate::memory::epoch::{self, EpochCell, Guard};
use crate::memory::reserve;
use crate::memory::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[cfg(target_pointer_width = "64")]
const SLOT_BITS: u32 = 20;
#[cfg(target_pointer_width = "64")]
const KIND_SHIFT: u32 = 56;
#[cfg(not(target_pointer_width = "64"))]
const SLOT_BITS: u32 = 12;
#[cfg(not(target_pointer_width = "64"))]
const KIND_SHIFT: u32 = 26;

const GENERATIONS: usize = 1 << (KIND_SHIFT - SLOT_BITS);

/// Slots of the first chunk; each further chunk has twice as many, so slots never move.
const FIRST_CHUNK: usize = 16;
const CHUNKS: usize = (SLOT_BITS - FIRST_CHUNK.ilog2()) as usize;

/// A table of handles to `T`. `KIND`, from 1 to 62, keeps the handles of different tables apart. All
/// methods may be called from any thread at once.
pub struct HandleTable<T: Send + Sync + 'static, const KIND: usize> {
    chunks: [OnceLock<Box<[Slot<T>]>>; CHUNKS],
    /// Where the search for a free slot begins. Any number will do.
    hint: std::sync::atomic::AtomicUsize,
}

struct Slot<T: Send + Sync + 'static> {
    /// Set by whoever uses the slot, from before an entry is put in until after it is taken out.
    claimed: AtomicBool,
    /// Entries that were here. A slot whose generations are used up stays claimed for ever.
    generation: AtomicUsize,
    entry: EpochCell<Option<Entry<T>>>,
}

struct Entry<T> {
    handle: usize,
    /// Set by the one thread that takes the entry out.
    leaving: AtomicBool,
    value: Arc<T>,
}

impl<T: Send + Sync + 'static, const KIND: usize> HandleTable<T, KIND> {
    /// An empty table.
    pub const fn new() -> Self {
        assert!(KIND > 0 && KIND < 63);
        Self {
            chunks: [const { OnceLock::new() }; CHUNKS],
            hint: std::sync::atomic::AtomicUsize::new(0),
        }
    }

    /// A new handle to `value`.
    pub fn insert(&self, value: T) -> Result<usize> {
        reserve::check()?;
        let (number, slot) = self.claim_slot()?;
        let generation = slot.generation.fetch_add(1, Ordering::Relaxed);
        let handle = KIND << KIND_SHIFT | generation << SLOT_BITS | number;
        let entry = Entry {
            handle,
            leaving: AtomicBool::new(false),
            value: Arc::new(value),
        };
        slot.entry.store(Some(entry), &epoch::pin());
        Ok(handle)
    }

    /// What `handle` stands for, valid as long as `guard` is.
    #[inline(always)]
    pub fn borrow<'g>(&self, handle: usize, guard: &'g Guard) -> Result<&'g T> {
        Ok(&self.entry(handle, guard)?.value)
    }

    /// A share in what `handle` stands for, for calls that wait: they must not hold back the epoch.
    #[inline(always)]
    pub fn share(&self, handle: usize) -> Result<Arc<T>> {
        Ok(self.entry(handle, &epoch::pin())?.value.clone())
    }

    /// Makes `handle` invalid and answers what it stood for. Of several threads that remove one handle, one
    /// succeeds.
    pub fn remove(&self, handle: usize) -> Result<Arc<T>> {
        let guard = epoch::pin();
        let entry = self.entry(handle, &guard)?;
        if entry.leaving.swap(true, Ordering::AcqRel) {
            return Err(closed());
        }
        let value = entry.value.clone();
        let slot = self.slot(handle % (1 << SLOT_BITS)).ok_or_else(made_up)?;
        slot.entry.store(None, &guard);
        if slot.generation.load(Ordering::Relaxed) < GENERATIONS {
            slot.claimed.store(false, Ordering::Release);
        }
        Ok(value)
    }

    #[inline(always)]
    fn entry<'g>(&self, handle: usize, guard: &'g Guard) -> Result<&'g Entry<T>> {
        if handle >> KIND_SHIFT != KIND {
            return Err(made_up());
        }
        let slot = self.slot(handle % (1 << SLOT_BITS)).ok_or_else(made_up)?;
        match slot.entry.load(guard) {
            Some(entry) if entry.handle == handle => Ok(entry),
            _ => Err(closed()),
        }
    }

    #[inline(always)]
    fn slot(&self, number: usize) -> Option<&Slot<T>> {
        let (chunk, place) = chunk_and_place(number);
        self.chunks.get(chunk)?.get()?.get(place)
    }

    /// A slot that nobody else uses until it is given up. Begins where the last search ended, so that
    /// short-lived handles do not search through long-lived ones.
    fn claim_slot(&self) -> Result<(usize, &Slot<T>)> {
        let slots = self.slots();
        let start = self.hint.load(Ordering::Relaxed);
        for step in 0..slots {
            let number = (start + step) % slots;
            if let Some(slot) = self.slot(number).filter(|slot| slot.claim()) {
                self.hint.store(number + 1, Ordering::Relaxed);
                return Ok((number, slot));
            }
        }
        self.add_chunk(slots)?;
        self.claim_slot()
    }

    fn slots(&self) -> usize {
        let chunks = self.chunks.iter().take_while(|chunk| chunk.get().is_some());
        (FIRST_CHUNK << chunks.count()) - FIRST_CHUNK
    }

    /// Adds the chunk that begins with slot `number`, unless another thread does.
    fn add_chunk(&self, number: usize) -> Result<()> {
        let (chunk, _) = chunk_and_place(number);
        let cell = self.chunks.get(chunk).ok_or_else(table_full)?;
        let length = FIRST_CHUNK << chunk;
        let mut slots = Vec::new();
        slots.try_reserve_exact(length).map_err(|_| table_full())?;
        slots.resize_with(length, Slot::new);
        cell.get_or_init(|| slots.into_boxed_slice());
        Ok(())
    }
}

impl<T: Send + Sync + 'static> Slot<T> {
    fn new() -> Self {
        Self {
            claimed: AtomicBool::new(false),
            generation: AtomicUsize::new(0),
            entry: EpochCell::new(None),
        }
    }

    fn claim(&self) -> bool {
        !self.claimed.load(Ordering::Relaxed) && !self.claimed.swap(true, Ordering::Acquire)
    }
}

#[inline(always)]
fn chunk_and_place(number: usize) -> (usize, usize) {
    let shifted = number + FIRST_CHUNK;
    let chunk = (shifted.ilog2() - FIRST_CHUNK.ilog2()) as usize;
    (chunk, shifted - (FIRST_CHUNK << chunk))
}

/// The answer for a handle that was valid once.
#[cold]
pub fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the handle has been closed")
}

/// The answer for a number that never was a handle of the kind asked for.
#[cold]
pub fn made_up() -> Error {
    Error::new(ErrorKind::Invalid, "this is not a handle of this kind")
}

#[cold]
fn table_full() -> Error {
    Error::memory("one more handle")
}

#[cfg(all(test, loom))]
mod interleavings;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::HashSet;

    type Table = HandleTable<usize, 5>;

    fn kind_of<T>(result: Result<T>) -> Option<ErrorKind> {
        result.err().map(|error| error.kind())
    }

    #[test]
    fn a_handle_finds_its_own_value_among_many() {
        let table = Table::new();
        let count = if cfg!(miri) { 70 } else { 3000 };
        let handles: Vec<_> = (0..count).map(|n| table.insert(n).unwrap()).collect();
        assert_eq!(handles.iter().collect::<HashSet<_>>().len(), count);
        for (number, handle) in handles.iter().enumerate() {
            assert_eq!(*table.borrow(*handle, &epoch::pin()).unwrap(), number);
            assert_eq!(*table.share(*handle).unwrap(), number);
        }
    }

    #[test]
    fn a_removed_handle_stays_closed_when_its_slot_is_used_again() {
        let table = Table::new();
        let mut old = Vec::new();
        for round in 0..200 {
            let handle = table.insert(round).unwrap();
            assert!(!old.contains(&handle), "a handle came back");
            assert_eq!(*table.remove(handle).unwrap(), round);
            old.push(handle);
        }
        let live = table.insert(1).unwrap();
        for handle in old {
            assert_eq!(
                kind_of(table.borrow(handle, &epoch::pin())),
                Some(ErrorKind::Closed)
            );
            assert_eq!(kind_of(table.remove(handle)), Some(ErrorKind::Closed));
        }
        assert!(table.share(live).is_ok());
        assert_eq!(table.slots(), FIRST_CHUNK);
    }

    #[test]
    fn made_up_numbers_and_addresses_are_refused() {
        let table = Table::new();
        let live = table.insert(1).unwrap();
        let here = std::ptr::from_ref(&table).addr();
        for handle in [
            0,
            1,
            here,
            usize::MAX,
            !live,
            live ^ 1 << KIND_SHIFT,
            live + 15,
            live + 16,
        ] {
            let refused = kind_of(table.share(handle));
            assert!(
                matches!(refused, Some(ErrorKind::Invalid | ErrorKind::Closed)),
                "{handle:#x} gave {refused:?}"
            );
        }
    }

    #[test]
    fn a_handle_is_never_an_address_of_this_process() {
        let handle = Table::new().insert(1).unwrap();
        let stack = std::ptr::from_ref(&handle).addr();
        let heap = std::ptr::from_ref(&*Box::new(0u8)).addr();
        if cfg!(target_pointer_width = "64") {
            assert!(handle >> 56 != 0 && stack >> 56 == 0 && heap >> 56 == 0);
        }
    }

    #[test]
    fn a_slot_whose_generations_are_used_up_is_not_used_again() {
        let table = Table::new();
        let first = table.insert(1).unwrap();
        let number = first % (1 << SLOT_BITS);
        table.remove(first).unwrap();
        table
            .slot(number)
            .unwrap()
            .generation
            .store(GENERATIONS - 1, Ordering::Relaxed);
        let mut handles = HashSet::new();
        for _ in 0..3 * FIRST_CHUNK {
            let handle = table.insert(1).unwrap();
            assert!(handles.insert(handle));
            assert_eq!(handle >> KIND_SHIFT, 5);
            table.remove(handle).unwrap();
        }
        let last = handles
            .iter()
            .filter(|handle| *handle % (1 << SLOT_BITS) == number);
        assert_eq!(last.count(), 1);
    }

    #[test]
    fn of_many_threads_that_remove_one_handle_exactly_one_succeeds() {
        let table = Table::new();
        for _ in 0..if cfg!(miri) { 5 } else { 300 } {
            let handle = table.insert(1).unwrap();
            let removed: usize = std::thread::scope(|scope| {
                let remove = || usize::from(table.remove(handle).is_ok());
                let threads: Vec<_> = (0..3).map(|_| scope.spawn(remove)).collect();
                threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap())
                    .sum()
            });
            assert_eq!(removed, 1);
        }
    }

    #[test]
    fn a_handle_that_one_thread_is_removing_is_closed_to_a_second() {
        let table = Table::new();
        let handle = table.insert(1).unwrap();
        // What a first remover has done when a second overtakes it.
        let guard = epoch::pin();
        let entry = table.entry(handle, &guard).unwrap();
        entry.leaving.store(true, Ordering::Relaxed);
        assert_eq!(kind_of(table.remove(handle)), Some(ErrorKind::Closed));
    }

    #[test]
    fn threads_that_insert_and_remove_never_see_each_others_values() {
        let table = Table::new();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let table = &table;
                scope.spawn(move || {
                    for round in 0..if cfg!(miri) { 20 } else { 5000 } {
                        let value = thread * 1_000_000 + round;
                        let handle = table.insert(value).unwrap();
                        assert_eq!(*table.borrow(handle, &epoch::pin()).unwrap(), value);
                        assert_eq!(*table.remove(handle).unwrap(), value);
                    }
                });
            }
        });
    }
}
