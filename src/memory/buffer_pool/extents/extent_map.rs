//! Which addresses are free, and which extents are held: the books, without the memory.
//!
//! Small blocks of the heap are taken without a way to fail here, as `memory::reserve` allows for.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::Refused;

/// Which free extent is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// The shortest that is long enough, found by its length: leaves the fewest short ones.
    #[default]
    Best,
    /// The one with the lowest address that is long enough: all before it are looked at.
    First,
    /// The longest, found by its length.
    Worst,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    /// By a caller.
    Held,
    /// Nobody can release it.
    TakenOver,
}

struct Extent {
    length: usize,
    state: State,
}

/// Free neighbours that extents had when they became free.
#[derive(Clone, Copy, Default)]
pub struct Neighbours {
    /// All of them.
    pub met: u64,
    /// Those that became one with the extent: all but neighbours in another region.
    pub joined: u64,
}

/// All extents of some regions, without gaps.
#[derive(Default)]
pub struct ExtentMap {
    by_address: BTreeMap<usize, Extent>,
    /// Free ones as {length, address}.
    free: BTreeSet<(usize, usize)>,
    neighbours: Neighbours,
}

impl ExtentMap {
    /// Adds the addresses of a region as one free extent.
    pub fn add(&mut self, addresses: Range<usize>) {
        self.insert_free(addresses.start, addresses.len());
    }

    /// Takes `length` bytes from the beginning of a free extent; `None` if none is as long.
    pub fn take(&mut self, length: usize, fit: Fit) -> Option<usize> {
        let (found, address) = self.choose(length, fit)?;
        self.free.remove(&(found, address));
        let state = State::Held;
        self.by_address.insert(address, Extent { length, state });
        if found > length {
            self.insert_free(address + length, found - length);
        }
        Some(address)
    }

    fn choose(&self, length: usize, fit: Fit) -> Option<(usize, usize)> {
        let long_enough = |extent: &(usize, usize)| extent.0 >= length;
        match fit {
            Fit::Best => self.free.range((length, 0)..).next().copied(),
            Fit::Worst => self.free.last().copied().filter(long_enough),
            Fit::First => {
                let mut extents = self.free_extents().map(|(address, found)| (found, address));
                extents.find(long_enough)
            }
        }
    }

    fn insert_free(&mut self, address: usize, length: usize) {
        let state = State::Free;
        self.by_address.insert(address, Extent { length, state });
        self.free.insert((length, address));
    }

    /// Takes the extent at `address` from its holder; answers its length.
    pub fn take_over(&mut self, address: usize) -> Result<usize, Refused> {
        match self.by_address.get_mut(&address) {
            Some(extent) if extent.state == State::Held => {
                extent.state = State::TakenOver;
                Ok(extent.length)
            }
            Some(extent) if extent.state == State::TakenOver => Err(Refused::NotInUse),
            _ => Err(self.foreign_or_interior(address)),
        }
    }

    /// What is wrong with an address at which no extent is held.
    fn foreign_or_interior(&self, address: usize) -> Refused {
        let below = self.by_address.range(..address).next_back();
        let inside = below.is_some_and(|(&begin, extent)| {
            extent.state != State::Free && address - begin < extent.length
        });
        match inside {
            true => Refused::Interior,
            false => Refused::Foreign,
        }
    }

    /// Gives an extent that was taken over back to its holder.
    pub fn hand_back(&mut self, address: usize) {
        if let Some(extent) = self.by_address.get_mut(&address) {
            debug_assert!(extent.state == State::TakenOver);
            extent.state = State::Held;
        }
    }

    /// Makes an extent that was taken over free, and joins it with free neighbours in `region`, the addresses of its region.
    pub fn free(&mut self, address: usize, region: &Range<usize>) {
        let Some(extent) = self.by_address.remove(&address) else {
            return;
        };
        debug_assert!(extent.state == State::TakenOver);
        let (mut begin, mut end) = (address, address + extent.length);
        let is_free = |(_, extent): &(&usize, &Extent)| extent.state == State::Free;
        let before = self.by_address.range(..begin).next_back().filter(is_free);
        let before = before.map(|(&begin, extent)| (begin, extent.length));
        if let Some((other, length)) = before.filter(|(other, length)| other + length == begin) {
            self.neighbours.met += 1;
            if other >= region.start {
                self.join(other, length);
                begin = other;
            }
        }
        let after = self.by_address.get_key_value(&end).filter(is_free);
        if let Some((other, length)) = after.map(|(&other, extent)| (other, extent.length)) {
            self.neighbours.met += 1;
            if other < region.end {
                self.join(other, length);
                end += length;
            }
        }
        self.insert_free(begin, end - begin);
    }

    fn join(&mut self, address: usize, length: usize) {
        self.neighbours.joined += 1;
        self.by_address.remove(&address);
        self.free.remove(&(length, address));
    }

    /// Forgets a region if all of it is one free extent; answers whether it was.
    pub fn forget_if_free(&mut self, region: Range<usize>) -> bool {
        let is_free = self.free.remove(&(region.len(), region.start));
        if is_free {
            self.by_address.remove(&region.start);
        }
        is_free
    }

    /// Address and length of all free extents, by rising address.
    pub fn free_extents(&self) -> impl Iterator<Item = (usize, usize)> {
        let extents = self.by_address.iter();
        let free = extents.filter(|(_, extent)| extent.state == State::Free);
        free.map(|(&address, extent)| (address, extent.length))
    }

    /// What extents met when they became free.
    pub fn neighbours(&self) -> Neighbours {
        self.neighbours
    }
}
