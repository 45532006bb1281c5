//! What holders of extents may rely on.

use std::collections::BTreeMap;

use super::super::budget::STANDARD_LIMIT;
use super::*;
use crate::error::ErrorKind;

struct Pool {
    extents: Extents,
    budget: IdleBudget,
}

fn pool_with(idle_limit: usize, fit: Fit) -> Pool {
    let extents = Extents::default();
    extents.set_fit(fit);
    Pool {
        extents,
        budget: IdleBudget::new(idle_limit),
    }
}

fn pool() -> Pool {
    pool_with(STANDARD_LIMIT, Fit::Best)
}

impl Pool {
    fn get(&self, length: usize) -> NonNull<u8> {
        self.extents.get(length, &self.budget).unwrap()
    }

    fn release(&self, address: usize) -> Released {
        // SAFETY: the tests use no extent after releasing it.
        unsafe { self.extents.release(address, &self.budget) }
    }

    fn give(&self, extent: NonNull<u8>) {
        self.release(extent.addr().get()).unwrap();
    }

    fn statistics(&self) -> LargeStatistics {
        let statistics = self.extents.statistics();
        assert_eq!(statistics.idle_bytes, self.budget.used() as u64);
        statistics
    }
}

fn fill(extent: NonNull<u8>, length: usize, byte: u8) {
    // SAFETY: the tests call this for extents they hold, with the length they asked for.
    unsafe { extent.as_ptr().write_bytes(byte, length) };
}

fn is_filled(extent: NonNull<u8>, length: usize, byte: u8) -> bool {
    // SAFETY: as above, and they have filled it.
    let bytes = unsafe { std::slice::from_raw_parts(extent.as_ptr(), length) };
    bytes.iter().all(|other| *other == byte)
}

/// A deterministic generator (Marsaglia, "Xorshift RNGs", 2003) so that every run is the same.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}

/// Extents come and go; a map knows what each should hold.
fn random_extents(fit: Fit, idle_limit: usize) {
    let pool = pool_with(idle_limit, fit);
    let mut random = Random(17);
    let mut held: BTreeMap<usize, (NonNull<u8>, usize, u8)> = BTreeMap::new();
    let steps = if cfg!(miri) { 40 } else { 3000 };
    for step in 0..steps {
        if random.below(100) < 50 + 20 * usize::from(held.len() < 20) && held.len() < 60 {
            let most = if random.below(20) == 0 {
                6 << 20
            } else {
                200 << 10
            };
            let length = 1 + random.below(if cfg!(miri) { 10_000 } else { most });
            let extent = pool.get(length);
            let begin = extent.addr().get();
            assert!(begin.is_multiple_of(PAGE_BYTES));
            let before = held.range(..=begin).next_back();
            assert!(before.is_none_or(|(other, it)| other + it.1 <= begin));
            let after = held.range(begin..).next();
            assert!(after.is_none_or(|(other, _)| begin + length <= *other));
            // Its ends, which a neighbour would hit.
            fill(extent, length.min(500), step as u8);
            let last = length.saturating_sub(500);
            // SAFETY: inside the extent.
            fill(unsafe { extent.add(last) }, length - last, step as u8);
            held.insert(begin, (extent, length, step as u8));
        } else if !held.is_empty() {
            let place = random.below(held.len());
            let (&begin, &(extent, length, byte)) = held.iter().nth(place).unwrap();
            held.remove(&begin);
            assert!(is_filled(extent, length.min(500), byte));
            let last = length.saturating_sub(500);
            // SAFETY: inside the extent.
            assert!(is_filled(unsafe { extent.add(last) }, length - last, byte));
            pool.give(extent);
            assert!(pool.release(begin).is_err());
        }
        if step % 100 == 0 {
            pool.extents.trim(&pool.budget);
            assert_eq!(pool.statistics().idle_bytes, 0);
        }
        let statistics = pool.statistics();
        let bytes = held
            .values()
            .map(|it| it.1.next_multiple_of(PAGE_BYTES) as u64);
        assert_eq!(statistics.bytes_in_use, bytes.sum::<u64>());
        assert_eq!(statistics.in_use, held.len() as u64);
        assert!(statistics.coalesced <= statistics.free_neighbours);
    }
    for (extent, ..) in held.into_values() {
        pool.give(extent);
    }
    pool.extents.trim(&pool.budget);
    let statistics = pool.statistics();
    assert_eq!((statistics.mapped_bytes, statistics.in_use), (0, 0));
    assert_eq!((statistics.bytes_in_use, statistics.idle_bytes), (0, 0));
}

#[test]
fn extents_do_not_overlap_keep_their_content_and_all_come_back_whatever_the_fit() {
    for fit in [Fit::Best, Fit::First, Fit::Worst] {
        for idle_limit in [STANDARD_LIMIT, 300 << 10, 0] {
            random_extents(fit, idle_limit);
        }
    }
}

/// Lengths in pages of free extents, by address, and those between them that are held.
fn holes(pool: &Pool, lengths: [usize; 4]) -> Vec<NonNull<u8>> {
    let extents: Vec<_> = lengths
        .iter()
        .flat_map(|length| [pool.get(length * PAGE_BYTES), pool.get(PAGE_BYTES)])
        .collect();
    extents.iter().step_by(2).for_each(|hole| pool.give(*hole));
    extents.into_iter().step_by(2).collect()
}

#[test]
fn best_fit_takes_the_shortest_that_is_long_enough_first_fit_the_lowest_and_worst_fit_the_longest()
{
    for (fit, expected) in [
        (Fit::Best, Some(2)),
        (Fit::First, Some(1)),
        (Fit::Worst, None),
    ] {
        let pool = pool();
        let holes = holes(&pool, [2, 8, 4, 16]);
        pool.extents.set_fit(fit);
        let taken = pool.get(3 * PAGE_BYTES);
        match expected {
            Some(hole) => assert_eq!(taken, holes[hole], "{fit:?}"),
            // The rest of the region is longer than any hole.
            None => assert!(taken > holes[3], "{fit:?}"),
        }
    }
}

#[test]
fn of_several_as_long_the_one_with_the_lowest_address_is_taken() {
    let pool = pool();
    let holes = holes(&pool, [4, 4, 4, 4]);
    for hole in holes {
        assert_eq!(pool.get(4 * PAGE_BYTES), hole);
    }
}

#[test]
fn an_extent_is_joined_with_both_free_neighbours() {
    let pool = pool();
    let [one, two, three] = [(); 3].map(|()| pool.get(PAGE_BYTES));
    let last = pool.get(PAGE_BYTES);
    pool.give(one);
    pool.give(three);
    assert_eq!(pool.statistics().free_neighbours, 0);
    pool.give(two);
    let statistics = pool.statistics();
    assert_eq!((statistics.free_neighbours, statistics.coalesced), (2, 2));
    assert_eq!(pool.get(3 * PAGE_BYTES), one);
    pool.give(last);
}

#[test]
fn releasing_what_is_no_extent_in_use_is_refused_and_changes_nothing() {
    let pool = pool();
    let kept = pool.get(3 * PAGE_BYTES);
    fill(kept, 3 * PAGE_BYTES, 7);
    let twice = pool.get(PAGE_BYTES);
    pool.give(twice);
    let begin = kept.addr().get();
    assert_eq!(pool.release(twice.addr().get()), Err(Refused::Foreign));
    assert_eq!(pool.release(begin + PAGE_BYTES), Err(Refused::Interior));
    assert_eq!(pool.release(begin + 1), Err(Refused::Interior));
    assert_eq!(pool.release(begin - 1), Err(Refused::Foreign));
    for foreign in [0, 1, usize::MAX, std::ptr::from_ref(&pool).addr()] {
        assert_eq!(pool.release(foreign), Err(Refused::Foreign));
    }
    assert_eq!(pool.extents.take_over(begin), Ok(3 * PAGE_BYTES));
    assert_eq!(pool.release(begin), Err(Refused::NotInUse));
    assert_eq!(pool.extents.take_over(begin), Err(Refused::NotInUse));
    pool.extents.hand_back(begin);
    assert!(is_filled(kept, 3 * PAGE_BYTES, 7));
    pool.give(kept);
    assert_eq!(pool.statistics().in_use, 0);
}

#[test]
fn regions_go_back_once_all_of_them_is_free_and_nothing_waits_there() {
    let pool = pool_with(0, Fit::Best);
    let count = if cfg!(miri) { 3 } else { 100 };
    let extents: Vec<_> = (0..count).map(|_| pool.get(300 << 10)).collect();
    assert!(pool.statistics().mapped_bytes >= count * (300 << 10));
    extents.into_iter().for_each(|extent| pool.give(extent));
    assert_eq!(pool.statistics().mapped_bytes, 0);
}

#[test]
fn what_waits_stays_below_the_limit_and_is_used_again() {
    let limit = 100 * PAGE_BYTES;
    let pool = pool_with(limit, Fit::Best);
    let extents: Vec<_> = (0..8).map(|_| pool.get(30 * PAGE_BYTES)).collect();
    extents.iter().for_each(|extent| pool.give(*extent));
    let statistics = pool.statistics();
    assert_eq!(statistics.idle_bytes, 90 * PAGE_BYTES as u64);
    assert!((0.99..=1.0).contains(&statistics.fragmentation()));
    assert_eq!(pool.get(30 * PAGE_BYTES), extents[0]);
    let statistics = pool.statistics();
    assert_eq!((statistics.hits, statistics.gets), (1, 9));
    assert_eq!(statistics.idle_bytes, 60 * PAGE_BYTES as u64);
    assert!((statistics.fragmentation() - 2.0 / 3.0).abs() < 0.001);
    pool.extents.trim(&pool.budget);
    assert_eq!(pool.statistics().pooled, 0);
}

#[test]
fn what_no_memory_can_hold_is_an_error_and_leaves_nothing_behind() {
    let pool = pool();
    for length in [
        usize::MAX,
        isize::MAX as usize,
        isize::MAX as usize / 2,
        1 << 46,
    ] {
        if cfg!(miri) && length != usize::MAX {
            continue; // Miri's heap refuses such layouts by panicking
        }
        let refused = pool.extents.get(length, &pool.budget).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Memory);
    }
    assert_eq!(pool.statistics(), LargeStatistics::default());
}

#[cfg(all(target_os = "linux", not(miri)))]
mod residency {
    use super::*;

    /// How many of these bytes the system has in memory.
    fn resident(start: NonNull<u8>, length: usize) -> usize {
        let mut pages = vec![0_u8; length / PAGE_BYTES];
        // SAFETY: the bytes are mapped, and there is a byte for each of their pages.
        let told = unsafe { libc::mincore(start.as_ptr().cast(), length, pages.as_mut_ptr()) };
        assert_eq!(told, 0);
        pages.iter().filter(|page| **page & 1 == 1).count() * PAGE_BYTES
    }

    #[test]
    fn memory_goes_back_when_it_may_not_wait_and_when_it_is_trimmed() {
        let length = 400 << 10;
        for (limit, waits) in [(STANDARD_LIMIT, true), (0, false)] {
            let pool = pool_with(limit, Fit::Best);
            let (extent, neighbour) = (pool.get(length), pool.get(length));
            fill(extent, length, 1);
            fill(neighbour, length, 2);
            assert_eq!(resident(extent, length), length);
            pool.give(extent);
            let left = resident(extent, length);
            assert_eq!(left, if waits { length } else { 0 });
            pool.extents.trim(&pool.budget);
            assert_eq!(resident(extent, length), 0);
            assert!(is_filled(neighbour, length, 2));
            pool.give(neighbour);
        }
    }

    #[test]
    fn a_short_extent_where_a_huge_page_was_takes_no_more_than_itself() {
        let pool = pool_with(0, Fit::First);
        let (large, neighbour) = (pool.get(4 << 20), pool.get(PAGE_BYTES));
        fill(large, 4 << 20, 1);
        assert_eq!(resident(large, 4 << 20), 4 << 20);
        pool.give(large);
        assert_eq!(resident(large, 4 << 20), 0);
        let small = pool.get(PAGE_BYTES);
        assert_eq!(small, large);
        fill(small, PAGE_BYTES, 1);
        assert_eq!(resident(large, 4 << 20), PAGE_BYTES);
        pool.give(small);
        pool.give(neighbour);
    }
}
