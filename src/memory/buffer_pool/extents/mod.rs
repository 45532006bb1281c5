//! Buffers that are too long for a class: extents, whole pages out of mapped regions.
//!
//! Regions have 8 MiB, or what a single extent needs. Free extents are found by their length, and joined with free
//! neighbours when they become free; what is known of them lies outside them, so that a release of anything but an extent in
//! use is refused, whatever is at the address. The memory of a free extent waits for its next use within the pool's budget of
//! idle memory, else it goes back to the system at once, and a region without any goes back as a whole.
//!
//! Each 2 MiB of addresses that an extent has for itself get a huge page, if the system has one. Nothing else does: a huge
//! page behind several short extents could not be given back with one of them.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ptr::NonNull;

use parking_lot::Mutex;

use super::budget::IdleBudget;
use super::statistics::LargeStatistics;
use super::{Refused, Released};
use crate::error::{Error, Result};
use crate::memory::page_arena::PAGE_BYTES;
use crate::memory::region::REGION_BYTES;

mod extent_map;
mod mapping;
#[cfg(test)]
mod tests;

use extent_map::ExtentMap;
pub use extent_map::Fit;
use mapping::Mapping;

/// Length of a region, unless one extent needs more.
const STANDARD_BYTES: usize = if cfg!(miri) { 1 } else { 4 } * REGION_BYTES;

/// Extents that callers hold, and free ones. All methods may be called from any thread.
#[derive(Default)]
pub struct Extents {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    map: ExtentMap,
    /// By their first address.
    mappings: BTreeMap<usize, Mapping>,
    fit: Fit,
    gets: u64,
    hits: u64,
    in_use: u64,
    bytes_in_use: usize,
}

impl Extents {
    /// An extent of `length` bytes, at least one page; its content is anything.
    ///
    /// # Errors
    /// `Memory` if the system has no more memory or addresses.
    pub fn get(&self, length: usize, budget: &IdleBudget) -> Result<NonNull<u8>> {
        let pages = length.max(1).checked_next_multiple_of(PAGE_BYTES);
        let length = pages
            .filter(|rounded| *rounded <= isize::MAX as usize / 2)
            .ok_or_else(|| Error::memory("a buffer"))?;
        let mut inner = self.inner.lock();
        let fit = inner.fit;
        let address = match inner.map.take(length, fit) {
            Some(address) => address,
            None => inner.take_from_new_region(length)?,
        };
        let mapping = inner.mapping_of(address);
        let idle_bytes = mapping.hand_out(address, length);
        let memory = mapping.memory(address);
        budget.give_back(idle_bytes);
        inner.gets += 1;
        inner.hits += u64::from(idle_bytes == length);
        inner.in_use += 1;
        inner.bytes_in_use += length;
        Ok(memory)
    }

    /// Takes back the extent at `address`, if a caller holds one there.
    ///
    /// # Safety
    /// If there is one, its holder gives it up: nobody uses its memory afterwards.
    pub unsafe fn release(&self, address: usize, budget: &IdleBudget) -> Released {
        let mut inner = self.inner.lock();
        let length = inner.map.take_over(address)?;
        let keeps = budget.try_take(length);
        if !keeps {
            let memory = inner.mapping_of(address).memory(address);
            drop(inner);
            // Takes its time, and needs no lock.
            // SAFETY: the extent was taken over, so that nobody else can free it; its holder gave it up, and its region stays
            // mapped as long as one of its extents is not free.
            unsafe { mapping::give_back(memory, length) };
            inner = self.inner.lock();
        }
        let unmapped = inner.free(address, length, keeps);
        drop(inner);
        // This as well.
        drop(unmapped);
        Ok(())
    }

    /// Takes the extent at `address` from its holder, so that nobody can release it until it is handed back; answers its
    /// length.
    pub fn take_over(&self, address: usize) -> std::result::Result<usize, Refused> {
        self.inner.lock().map.take_over(address)
    }

    /// Gives an extent that was taken over back to its holder.
    pub fn hand_back(&self, address: usize) {
        self.inner.lock().map.hand_back(address);
    }

    /// Gives the memory of all free extents back to the system, and regions without others.
    pub fn trim(&self, budget: &IdleBudget) {
        let mut inner = self.inner.lock();
        let Inner { map, mappings, .. } = &mut *inner;
        for (address, length) in map.free_extents() {
            let mapping = mapping_of(mappings, address);
            budget.give_back(mapping.give_idle_back(address, length));
        }
        mappings.retain(|_, mapping| !map.forget_if_free(mapping.addresses()));
    }

    /// From now on free extents are chosen by `fit`.
    pub fn set_fit(&self, fit: Fit) {
        self.inner.lock().fit = fit;
    }

    /// What went through here so far. Looks at every free extent.
    pub fn statistics(&self) -> LargeStatistics {
        let mut inner = self.inner.lock();
        let Inner { map, mappings, .. } = &mut *inner;
        let waits = |(address, length)| mapping_of(mappings, address).has_idle(address, length);
        let pooled = map.free_extents().map(waits).filter(|it| *it).count() as u64;
        let sum = |bytes: fn(&Mapping) -> usize| {
            let mappings = inner.mappings.values();
            mappings.map(|mapping| bytes(mapping) as u64).sum()
        };
        let neighbours = inner.map.neighbours();
        LargeStatistics {
            gets: inner.gets,
            hits: inner.hits,
            in_use: inner.in_use,
            bytes_in_use: inner.bytes_in_use as u64,
            pooled,
            mapped_bytes: sum(|mapping| mapping.addresses().len()),
            idle_bytes: sum(Mapping::idle_bytes),
            free_neighbours: neighbours.met,
            coalesced: neighbours.joined,
        }
    }
}

impl Inner {
    fn take_from_new_region(&mut self, length: usize) -> Result<usize> {
        let least = length.next_multiple_of(REGION_BYTES);
        let standard = Mapping::new(least.max(STANDARD_BYTES));
        // Where addresses are scarce, less will do.
        let mapping = standard.or_else(|_| Mapping::new(least))?;
        let addresses = mapping.addresses();
        self.mappings.insert(addresses.start, mapping);
        self.map.add(addresses);
        let taken = self.map.take(length, self.fit);
        taken.ok_or_else(|| Error::memory("a buffer"))
    }

    /// Frees an extent that was taken over, of which the memory was kept or given back; answers a region that is to be
    /// unmapped.
    fn free(&mut self, address: usize, length: usize, kept: bool) -> Option<Mapping> {
        self.in_use -= 1;
        self.bytes_in_use -= length;
        let mapping = mapping_of(&mut self.mappings, address);
        if kept {
            mapping.keep_idle(address, length);
        }
        let addresses = mapping.addresses();
        self.map.free(address, &addresses);
        let is_useless = mapping.idle_bytes() == 0;
        let unmapped = is_useless && self.map.forget_if_free(addresses.clone());
        unmapped.then(|| self.mappings.remove(&addresses.start))?
    }

    fn mapping_of(&mut self, address: usize) -> &mut Mapping {
        mapping_of(&mut self.mappings, address)
    }
}

/// The mapping that the extent at `address` lies in.
fn mapping_of(mappings: &mut BTreeMap<usize, Mapping>, address: usize) -> &mut Mapping {
    let below = mappings.range_mut(..=address).next_back();
    let (_, mapping) = below.expect("an extent lies in a mapping");
    mapping
}
