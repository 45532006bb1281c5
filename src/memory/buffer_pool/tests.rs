//! What callers of the pool may rely on, right and wrong callers alike.

use std::collections::BTreeMap;
use std::sync::mpsc;

use super::size_class::{CLASSES, LARGEST, UNIT};
use super::*;

/// Enough for everything the tests hold at once, little enough for Miri.
const TEST_RANGE: usize = if cfg!(miri) { 8 << 20 } else { 1 << 30 };

fn pool() -> BufferPool {
    BufferPool::with_range(TEST_RANGE).unwrap()
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
    for (class, geometry) in CLASSES.iter().enumerate() {
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
    assert_eq!(statistics.classes.len(), 1);
    assert_eq!(statistics.gets(), 101);
    assert_eq!(statistics.hits(), 100);
    assert_eq!(statistics.classes[0].misses(), 1);
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
        let class = statistics.classes[0];
        assert_eq!(class.in_use, 0);
        assert!(class.cached <= (class_pool::CACHES * 64) as u64);
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
    let pool = BufferPool::with_range(LEAST_RANGE).unwrap();
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
            for class in pool.statistics().classes {
                assert!(class.hits <= class.gets && class.in_use <= class.gets);
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(pool.statistics().in_use(), 0);
}
