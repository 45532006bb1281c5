//! What callers of the pool may rely on, right and wrong callers alike.

use std::collections::BTreeMap;
use std::sync::mpsc;

use super::shared::LEAST_RANGE;
use super::size_class::UNIT;
use super::*;

/// Enough for everything the tests hold at once, little enough for Miri.
const TEST_RANGE: usize = if cfg!(miri) { 8 << 20 } else { 1 << 30 };

fn pool() -> BufferPool {
    BufferPool::with_range(Classes::standard(), TEST_RANGE).unwrap()
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

fn used_classes(statistics: &Statistics) -> impl Iterator<Item = &ClassStatistics> {
    statistics.classes().iter().filter(|class| class.gets > 0)
}

fn fill(address: NonNull<u8>, length: usize, byte: u8) {
    // SAFETY: the tests call this for buffers they hold, with the length they asked for.
    unsafe { address.as_ptr().write_bytes(byte, length) };
}

fn is_filled(address: NonNull<u8>, length: usize, byte: u8) -> bool {
    // SAFETY: the tests call this for buffers they hold and have filled.
    let bytes = unsafe { std::slice::from_raw_parts(address.as_ptr(), length) };
    bytes.iter().all(|other| *other == byte)
}

fn release(pool: &BufferPool, address: NonNull<u8>) -> Released {
    // SAFETY: the tests use no buffer after releasing it.
    unsafe { pool.release(address.as_ptr()) }
}

#[test]
fn live_buffers_are_distinct_and_do_not_overlap() {
    let pool = pool();
    let count = if cfg!(miri) { 300 } else { 100_000 };
    let mut random = Random(7);
    let mut live = BTreeMap::new();
    for _ in 0..count {
        let most = if random.below(10) == 0 { 3000 } else { 300 };
        let length = 1 + random.below(most);
        let address = pool.get(length).unwrap().into_raw();
        assert!(address.addr().get().is_multiple_of(ALIGNMENT));
        assert!(
            live.insert(address.addr().get(), (address, length))
                .is_none()
        );
    }
    let mut end = 0;
    for (start, (_, length)) in &live {
        assert!(*start >= end, "two live buffers overlap at {start:#x}");
        end = start + length;
    }
    assert_eq!(pool.statistics().in_use(), count);
    for (address, _) in live.values() {
        release(&pool, *address).unwrap();
    }
    assert_eq!(pool.statistics().in_use(), 0);
}

#[test]
fn a_buffer_keeps_its_content_while_others_come_and_go() {
    let pool = pool();
    let mut random = Random(11);
    let mut live = Vec::new();
    for step in 0..if cfg!(miri) { 150 } else { 50_000 } {
        if live.len() < 40 || random.below(2) == 0 {
            let length = match random.below(40) {
                0 => LARGEST + random.below(LARGEST / 4),
                1..4 => random.below(LARGEST / 8),
                _ => random.below(2000),
            };
            let length = if cfg!(miri) { length % 300 } else { length };
            let address = pool.get(length).unwrap().into_raw();
            fill(address, length, step as u8);
            live.push((address, length, step as u8));
        }
        if live.len() > 60 {
            let (address, length, byte) = live.swap_remove(random.below(live.len()));
            assert!(is_filled(address, length, byte));
            release(&pool, address).unwrap();
        }
    }
    for (address, length, byte) in live {
        assert!(is_filled(address, length, byte));
        release(&pool, address).unwrap();
    }
    assert_eq!(pool.statistics().in_use(), 0);
}

#[test]
fn an_empty_buffer_has_an_address_and_is_released_like_any_other() {
    let pool = pool();
    let (first, second) = (
        pool.get(0).unwrap().into_raw(),
        pool.get(0).unwrap().into_raw(),
    );
    assert_ne!(first, second);
    assert_eq!(release(&pool, first), Ok(()));
    assert_eq!(release(&pool, second), Ok(()));
}

#[test]
fn a_second_release_is_refused_and_changes_nothing() {
    let pool = pool();
    for length in [0, 100, 5000, LARGEST, LARGEST + 1] {
        // A byte-wise look at a megabyte takes Miri minutes.
        let length_looked_at = if cfg!(miri) { length.min(100) } else { length };
        let kept = pool.get(length).unwrap().into_raw();
        fill(kept, length_looked_at, 9);
        let twice = pool.get(length).unwrap().into_raw();
        release(&pool, twice).unwrap();
        let expected = if length > LARGEST {
            Refused::Foreign
        } else {
            Refused::NotInUse
        };
        assert_eq!(release(&pool, twice), Err(expected));
        let (a, b) = (pool.get(length).unwrap(), pool.get(length).unwrap());
        assert_ne!(a.into_raw(), b.into_raw());
        assert!(is_filled(kept, length_looked_at, 9));
    }
    assert_eq!(pool.statistics().refused, 5);
}

#[test]
fn foreign_addresses_are_refused() {
    let pool = pool();
    let held = pool.get(100).unwrap();
    let mut elsewhere = [0u8; 64];
    let on_heap = Box::into_raw(Box::new(5u8));
    for address in [
        elsewhere.as_mut_ptr(),
        on_heap,
        std::ptr::null_mut(),
        std::ptr::without_provenance_mut(1),
        std::ptr::without_provenance_mut(usize::MAX),
    ] {
        // SAFETY: none of these is the address of a buffer of this pool.
        assert_eq!(unsafe { pool.release(address) }, Err(Refused::Foreign));
    }
    // SAFETY: the box was leaked above and refused by the pool.
    drop(unsafe { Box::from_raw(on_heap) });
    drop(held);
    assert_eq!(pool.statistics().in_use(), 0);
}

#[test]
fn addresses_inside_a_buffer_or_between_buffers_are_refused() {
    let pool = pool();
    for (class, geometry) in Classes::standard().all().iter().enumerate() {
        if cfg!(miri) && geometry.size > 4096 {
            break;
        }
        let start = pool.get(geometry.size).unwrap().into_raw();
        for offset in [1, 16, geometry.size / 2, geometry.size - 1] {
            let inside = start.as_ptr().wrapping_add(offset);
            // SAFETY: no buffer begins inside another.
            let refused = unsafe { pool.release(inside) };
            assert_eq!(refused, Err(Refused::Interior), "class {class}");
        }
        let tail = start.as_ptr().wrapping_add(geometry.units * UNIT - 1);
        // SAFETY: no slot begins at the end of a span.
        let refused = unsafe { pool.release(tail) };
        assert!(refused.is_err());
        release(&pool, start).unwrap();
    }
    let beyond = pool.get(64).unwrap().into_raw();
    let unused = beyond.as_ptr().wrapping_add(TEST_RANGE / 2);
    // SAFETY: that far into the range nothing has been handed out.
    assert_eq!(unsafe { pool.release(unused) }, Err(Refused::Interior));
}

#[test]
fn a_released_buffer_is_reused_before_new_memory_is_taken() {
    let pool = pool();
    let before = pool.get(700).unwrap().into_raw();
    release(&pool, before).unwrap();
    for _ in 0..100 {
        let again = pool.get(700).unwrap().into_raw();
        assert_eq!(again, before);
        release(&pool, again).unwrap();
    }
    let statistics = pool.statistics();
    assert_eq!(statistics.gets(), 101);
    assert_eq!(statistics.hits(), 100);
    let used: Vec<_> = used_classes(&statistics).collect();
    assert_eq!((used.len(), used[0].misses()), (1, 1));
}

#[test]
fn what_waits_in_the_pool_is_bounded_and_empty_spans_are_used_again() {
    let pool = pool();
    let count = if cfg!(miri) { 200 } else { 20_000 };
    let mut span_bytes = 0;
    for round in 0..3 {
        let held: Vec<_> = (0..count).map(|_| pool.get(2000).unwrap()).collect();
        drop(held);
        let statistics = pool.statistics();
        assert_eq!(statistics.in_use(), 0);
        assert!(statistics.idle_bytes <= 512 << 10, "{statistics:?}");
        if round == 0 {
            span_bytes = statistics.span_bytes;
        }
        assert_eq!(
            statistics.span_bytes, span_bytes,
            "the pool grew in round {round}"
        );
    }
}

/// Bytes of memory that stand behind the addresses from `start` to `end`.
#[cfg(all(target_os = "linux", not(miri)))]
fn resident(start: usize, end: usize) -> usize {
    const PAGE: usize = 4096;
    let start = start / PAGE * PAGE;
    let mut pages = vec![0u8; (end - start).div_ceil(PAGE)];
    let address = std::ptr::without_provenance_mut(start);
    // SAFETY: `mincore` only reports on the range, into a vector with a byte for each of its pages.
    let outcome = unsafe { libc::mincore(address, end - start, pages.as_mut_ptr()) };
    assert_eq!(outcome, 0);
    pages.iter().filter(|page| **page & 1 == 1).count() * PAGE
}

#[cfg(all(target_os = "linux", not(miri)))]
#[test]
fn memory_goes_back_to_the_system_after_a_mass_release() {
    let pool = pool();
    let (count, length) = (5_000, 20_000);
    let held: Vec<_> = (0..count)
        .map(|_| {
            let address = pool.get(length).unwrap().into_raw();
            fill(address, length, 1);
            address
        })
        .collect();
    let addresses = || held.iter().map(|address| address.addr().get());
    let (start, end) = (addresses().min().unwrap(), addresses().max().unwrap());
    assert!(resident(start, end) > (count - 1) * length);
    for address in &held {
        release(&pool, *address).unwrap();
    }
    let left = resident(start, end);
    assert!(left < 1 << 20, "{left} bytes are still there");
}

#[test]
fn when_the_addresses_are_used_up_buffers_are_mapped_one_by_one() {
    let pool = BufferPool::with_range(Classes::standard(), LEAST_RANGE).unwrap();
    let length = 60_000;
    let held: Vec<_> = (0..LEAST_RANGE / UNIT + 8)
        .map(|_| pool.get(length).unwrap().into_raw())
        .collect();
    assert!(pool.statistics().large.in_use >= 8);
    for address in &held {
        fill(*address, length, 3);
    }
    for address in held {
        release(&pool, address).unwrap();
    }
    assert_eq!(pool.statistics().in_use(), 0);
}

#[test]
fn a_length_that_no_memory_can_hold_is_an_error() {
    let pool = pool();
    for length in [usize::MAX, isize::MAX as usize, usize::MAX - 4095] {
        if cfg!(miri) && length != usize::MAX {
            continue; // Miri's heap refuses such layouts by panicking
        }
        let error = pool.get(length).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Memory);
    }
    assert_eq!(pool.statistics().in_use(), 0);
}

#[test]
fn a_copy_holds_the_bytes_it_was_made_from() {
    let pool = pool();
    for length in [0, 1, 64, 65, 4096, if cfg!(miri) { 5000 } else { 70_000 }] {
        let bytes: Vec<u8> = (0..length).map(|n| n as u8).collect();
        let address = pool.copy_of(&bytes).unwrap().into_raw();
        // SAFETY: the buffer holds `length` bytes that have just been written.
        let copy = unsafe { std::slice::from_raw_parts(address.as_ptr(), length) };
        assert_eq!(copy, bytes);
        release(&pool, address).unwrap();
    }
}

#[test]
fn threads_may_release_each_others_buffers() {
    let pool = pool();
    let threads = 4;
    let rounds = if cfg!(miri) { 60 } else { 20_000 };
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..threads)
        .map(|_| mpsc::channel::<(Buffer<'_>, u8)>())
        .unzip();
    std::thread::scope(|scope| {
        for (number, receiver) in receivers.into_iter().enumerate() {
            let next = senders[(number + 1) % threads].clone();
            let pool = &pool;
            scope.spawn(move || {
                let mut random = Random(number as u64 + 1);
                for round in 0..rounds {
                    let byte = (number * 64 + round % 64) as u8;
                    let mut buffer = pool.get(random.below(500)).unwrap();
                    buffer.content().fill(MaybeUninit::new(byte));
                    next.send((buffer, byte)).unwrap();
                    let (received, byte) = receiver.recv().unwrap();
                    let length = received.length;
                    let address = received.into_raw();
                    assert!(is_filled(address, length, byte));
                    release(pool, address).unwrap();
                }
            });
        }
    });
    let statistics = pool.statistics();
    assert_eq!(statistics.in_use(), 0);
    assert_eq!(statistics.gets(), (threads * rounds) as u64);
}

#[test]
fn of_many_threads_that_release_one_buffer_exactly_one_succeeds() {
    let pool = pool();
    for _ in 0..if cfg!(miri) { 5 } else { 500 } {
        let address = pool.get(100).unwrap().into_raw().addr().get();
        let successes: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3)
                .map(|_| {
                    let pool = &pool;
                    scope.spawn(move || {
                        let address = std::ptr::without_provenance_mut(address);
                        // SAFETY: nobody uses the buffer's memory.
                        usize::from(unsafe { pool.release(address) }.is_ok())
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(successes, 1);
    }
}

#[test]
fn statistics_taken_meanwhile_are_never_negative_or_too_large() {
    let pool = pool();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for number in 0..2 {
            let (pool, stop) = (&pool, &stop);
            scope.spawn(move || {
                let mut random = Random(number + 1);
                while !stop.load(Ordering::Relaxed) {
                    let held: Vec<_> = (0..20)
                        .map(|_| pool.get(random.below(200)).unwrap())
                        .collect();
                    drop(held);
                }
            });
        }
        for _ in 0..if cfg!(miri) { 5 } else { 2000 } {
            for class in pool.statistics().classes() {
                assert!(class.hits <= class.gets && class.in_use <= class.gets);
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(pool.statistics().in_use(), 0);
}

#[test]
fn a_zeroed_buffer_is_zero_whatever_was_in_it_before() {
    let pool = pool();
    for length in [1, 64, 5000, if cfg!(miri) { 6000 } else { LARGEST + 1 }] {
        for _ in 0..3 {
            let address = pool.get_zeroed(length).unwrap().into_raw();
            assert!(is_filled(address, length, 0));
            fill(address, length, 0xff);
            release(&pool, address).unwrap();
        }
    }
}

#[test]
fn a_pool_has_the_classes_it_was_given() {
    let sizes = [1024, 4096, 16384, 65536];
    let pool = BufferPool::with_range(Classes::new(&sizes).unwrap(), TEST_RANGE).unwrap();
    let held: Vec<_> = [1, 1024, 1025, 65536, 65537]
        .map(|length| pool.get(length).unwrap())
        .into_iter()
        .collect();
    let statistics = pool.statistics();
    let gets: Vec<_> = statistics
        .classes()
        .iter()
        .map(|class| (class.size, class.gets))
        .collect();
    assert_eq!(gets, [(1024, 2), (4096, 1), (16384, 0), (65536, 1)]);
    assert_eq!((statistics.oversize, statistics.large.gets), (1, 1));
    drop(held);
    assert_eq!(pool.statistics().in_use(), 0);
}

#[test]
fn a_large_buffer_has_the_memory_of_earlier_ones_of_several_together_too() {
    let pool = pool();
    // Together they fill a region of the length that the first one makes necessary.
    let [first, neighbour] = [9 << 19, 3 << 19].map(|length| pool.get(length).unwrap().into_raw());
    release(&pool, first).unwrap();
    release(&pool, neighbour).unwrap();
    assert_eq!(pool.statistics().large.pooled, 1);
    let longer = pool.get((4 << 20) - 5000).unwrap().into_raw();
    assert_eq!(first, longer);
    let shorter = pool.get(LARGEST + 1).unwrap().into_raw();
    let large = pool.statistics().large;
    // The second has what the first left.
    assert_eq!((large.gets, large.hits), (4, 2));
    release(&pool, longer).unwrap();
    release(&pool, shorter).unwrap();
    pool.trim();
    let large = pool.statistics().large;
    assert_eq!((large.pooled, large.mapped_bytes), (0, 0));
}

#[test]
fn what_waits_never_exceeds_the_limit_and_after_trimming_nothing_waits() {
    let pool = pool();
    let limit = if cfg!(miri) { 100 << 10 } else { 1 << 20 };
    pool.set_idle_limit(limit);
    let mut random = Random(5);
    for _ in 0..if cfg!(miri) { 3 } else { 100 } {
        let lengths = (0..20).map(|_| 1 << random.below(if cfg!(miri) { 14 } else { 23 }));
        let held: Vec<_> = lengths.map(|length| pool.get(length).unwrap()).collect();
        assert!(pool.statistics().idle_bytes <= limit as u64);
        drop(held);
        assert!(pool.statistics().idle_bytes <= limit as u64);
    }
    assert!(pool.statistics().idle_bytes > 0);
    let kept = pool.get(1000).unwrap().into_raw();
    fill(kept, 1000, 7);
    pool.trim();
    let statistics = pool.statistics();
    assert_eq!((statistics.idle_bytes, statistics.pooled()), (0, 0));
    assert!(is_filled(kept, 1000, 7));
    release(&pool, kept).unwrap();
    pool.set_idle_limit(0);
    assert_eq!(pool.statistics().idle_bytes, 0);
    drop(pool.get(1000).unwrap());
    assert_eq!(pool.statistics().idle_bytes, 0);
}

#[test]
fn trimming_empties_the_magazines_of_threads_that_do_nothing() {
    let pool = pool();
    let (ready, wait_ready) = mpsc::channel();
    let (go_on, wait_go_on) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let pool = &pool;
        scope.spawn(move || {
            let held: Vec<_> = (0..50).map(|_| pool.get(1000).unwrap()).collect();
            drop(held);
            ready.send(()).unwrap();
            wait_go_on.recv().unwrap();
            // Its magazine works as before.
            for _ in 0..10 {
                drop(pool.get(1000).unwrap());
            }
        });
        wait_ready.recv().unwrap();
        assert!(pool.statistics().pooled() >= 20);
        pool.trim();
        let statistics = pool.statistics();
        assert_eq!((statistics.pooled(), statistics.idle_bytes), (0, 0));
        let hits = statistics.hits();
        go_on.send(()).unwrap();
        while pool.statistics().gets() < 60 || pool.statistics().in_use() > 0 {
            std::thread::yield_now();
        }
        assert!(pool.statistics().hits() >= hits + 9);
    });
}

#[test]
fn trimming_beside_busy_threads_loses_no_buffer_and_hands_none_out_twice() {
    let pool = pool();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for number in 0..3 {
            let (pool, stop) = (&pool, &stop);
            scope.spawn(move || {
                let mut random = Random(number + 1);
                while !stop.load(Ordering::Relaxed) {
                    let byte = random.below(256) as u8;
                    let held: Vec<_> = (0..1 + random.below(12))
                        .map(|_| pool.get(500).unwrap().into_raw())
                        .collect();
                    held.iter().for_each(|address| fill(*address, 500, byte));
                    for address in held {
                        assert!(is_filled(address, 500, byte));
                        release(pool, address).unwrap();
                    }
                }
            });
        }
        for _ in 0..if cfg!(miri) { 5 } else { 1000 } {
            pool.trim();
            assert!(pool.statistics().in_use() <= 36);
        }
        stop.store(true, Ordering::Relaxed);
    });
    pool.trim();
    let statistics = pool.statistics();
    assert_eq!((statistics.in_use(), statistics.idle_bytes), (0, 0));
}

#[test]
fn a_thread_that_ends_leaves_its_buffers_and_counts_to_the_pool() {
    let pool = pool();
    std::thread::scope(|scope| {
        let ended = scope.spawn(|| {
            let held: Vec<_> = (0..20).map(|_| pool.get(3000).unwrap()).collect();
            drop(held);
            assert_eq!(pool.statistics().threads, 1);
        });
        ended.join().unwrap();
    });
    // A scope waits for the closure of a thread, not for its destructors.
    while pool.statistics().threads > 0 {
        std::thread::yield_now();
    }
    let statistics = pool.statistics();
    assert_eq!((statistics.gets(), statistics.in_use()), (20, 0));
    assert_eq!(statistics.pooled(), 0);
    let span_bytes = statistics.span_bytes;
    let held: Vec<_> = (0..20).map(|_| pool.get(3000).unwrap()).collect();
    assert_eq!(pool.statistics().span_bytes, span_bytes);
    drop(held);
}

/// A buffer for when the thread's own values are destroyed.
struct Late(std::sync::Arc<BufferPool>);

impl Drop for Late {
    fn drop(&mut self) {
        let address = self.0.get(100).unwrap().into_raw();
        release(&self.0, address).unwrap();
    }
}

thread_local! {
    static LATE: std::cell::RefCell<Option<Late>> = const { std::cell::RefCell::new(None) };
}

#[test]
fn a_thread_may_use_the_pool_to_its_very_end() {
    let pool = std::sync::Arc::new(pool());
    let of_thread = pool.clone();
    std::thread::spawn(move || {
        // Destroyed after what the pool keeps of the thread, which is made later; or before, on other systems.
        LATE.set(Some(Late(of_thread.clone())));
        drop(of_thread.get(100).unwrap());
    })
    .join()
    .unwrap();
    let statistics = pool.statistics();
    assert_eq!((statistics.gets(), statistics.in_use()), (2, 0));
}

#[test]
fn a_thread_may_use_more_pools_than_it_keeps_magazines_for() {
    let pools: Vec<_> = (0..10).map(|_| pool()).collect();
    for _ in 0..3 {
        for pool in &pools {
            let address = pool.get(100).unwrap().into_raw();
            release(pool, address).unwrap();
        }
    }
    for pool in &pools {
        let statistics = pool.statistics();
        assert_eq!((statistics.gets(), statistics.in_use()), (3, 0));
    }
    drop(pools);
    drop(pool().get(1).unwrap());
}

#[test]
fn magazines_grow_with_what_a_thread_needs_and_shrink_when_it_needs_less() {
    let pool = pool();
    let rounds = if cfg!(miri) { 25 } else { 50 };
    let held_at_once = 100;
    for _ in 0..rounds {
        let held: Vec<_> = (0..held_at_once).map(|_| pool.get(64).unwrap()).collect();
        drop(held);
    }
    let statistics = pool.statistics();
    let misses = statistics.classes()[0].misses();
    assert!(statistics.classes()[0].pooled >= 90, "{statistics:?}");
    for _ in 0..rounds {
        let held: Vec<_> = (0..held_at_once).map(|_| pool.get(64).unwrap()).collect();
        drop(held);
    }
    assert!(pool.statistics().classes()[0].misses() <= misses + rounds);
    if cfg!(miri) {
        return; // what follows takes it minutes
    }
    for _ in 0..200_000 {
        drop(pool.get(64).unwrap());
    }
    let pooled = pool.statistics().classes()[0].pooled;
    assert!(pooled <= 10, "{pooled} buffers wait for one that is in use");
}

#[test]
fn a_buffer_that_is_taken_over_cannot_be_released_until_it_is_handed_back() {
    let pool = pool();
    for length in [10, 5000, if cfg!(miri) { 6000 } else { LARGEST + 1 }] {
        let address = pool.get(length).unwrap().into_raw();
        fill(address, length, 3);
        // SAFETY: the buffer was filled, and nobody writes to it.
        let take_over = |length| unsafe { pool.take_over(address.as_ptr(), length) };
        let taken = take_over(length).unwrap();
        assert!(taken.bytes().iter().all(|byte| *byte == 3) && taken.bytes().len() == length);
        assert_eq!(release(&pool, address), Err(Refused::NotInUse));
        assert_eq!(take_over(length).err(), Some(Refused::NotInUse));
        drop(taken);
        assert!(
            matches!(take_over(1 << 30).err(), Some(Refused::TooShort(room)) if room >= length)
        );
        assert_eq!(pool.statistics().in_use(), 1);
        take_over(length).unwrap().release();
        assert_eq!(pool.statistics().in_use(), 0);
        assert!(release(&pool, address).is_err() && take_over(1).is_err());
    }
    let mut foreign = [0u8; 64];
    // SAFETY: no address of a buffer.
    let taken = unsafe { pool.take_over(foreign.as_mut_ptr(), 64) };
    assert_eq!(taken.err(), Some(Refused::Foreign));
}
