//! Time and memory of the index beside the standard library's hash map.
//!
//! `cargo bench --bench index [keys]`; keys of 16 bytes, one thread, everything in RAM. A lookup here is the
//! index's part only: bucket and tag, without the record in the log that a get reads next. With keys on disk the index
//! compares with keys that are computed from the location, so that the figures are the index's own. The map holds a
//! boxed key and a 64-bit location, which is what an index with an allocation per key looks like.
#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock itself"
)]

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use freyja::Result;
use freyja::index::{Entry, Index, IndexOptions, KeyReader, KeyStorage, Location};
use freyja::memory::epoch::{self, Guard};

const KEY_BYTES: usize = 16;

fn main() {
    let argument = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok());
    let count: u64 = argument.unwrap_or(1_000_000);
    println!("{count} keys of {KEY_BYTES} bytes");
    for key_storage in [KeyStorage::InMemory, KeyStorage::OnDisk] {
        println!("index, keys {key_storage:?}");
        measure_prepared(count, key_storage);
        let before = resident_bytes();
        let index = measure_index(count, key_storage);
        report_memory(&index, count, resident_bytes().saturating_sub(before));
    }
    println!("HashMap<Box<[u8]>, u64>");
    let before = resident_bytes();
    let map = measure_map(count);
    let resident = resident_bytes().saturating_sub(before) as f64 / count as f64;
    line(
        "resident bytes a key besides the key",
        resident - KEY_BYTES as f64,
        "B",
    );
    drop(map);
}

fn line(name: &str, figure: f64, unit: &str) {
    println!("  {name:<38}{figure:>9.2} {unit}");
}

fn key(number: u64) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    let mixed = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    key[..8].copy_from_slice(&number.to_le_bytes());
    key[8..].copy_from_slice(&mixed.to_le_bytes());
    key
}

/// Visits every number below `count` once, in an order that caches cannot guess.
fn scattered(count: u64) -> impl Iterator<Item = u64> {
    let mask = count.next_power_of_two() - 1;
    let half_bits = mask.count_ones() / 2;
    let numbers = (0..=mask).map(move |number| {
        // Odd multipliers and shifted differences are one-to-one on the numbers up to the mask.
        let mixed = number.wrapping_mul(0xd134_2543_de82_ef95) & mask;
        (mixed ^ mixed >> half_bits).wrapping_mul(0x9e37_79b9_7f4a_7c15) & mask
    });
    numbers.filter(move |&number| number < count)
}

fn timed(name: &str, count: u64, run: impl FnOnce()) {
    let (wall, processor) = (Instant::now(), processor_time());
    run();
    let wall = wall.elapsed().as_nanos() as u64;
    let spent = processor
        .zip(processor_time())
        .map_or(wall, |(before, after)| after - before);
    line(name, spent as f64 / count as f64, "ns");
}

/// Nanoseconds that this thread has had a processor, which other programs on the machine disturb less than the time
/// on the clock; `None` where the system does not tell.
fn processor_time() -> Option<u64> {
    let status = read_status("/proc/thread-self/schedstat")?;
    status.split_whitespace().next()?.parse().ok()
}

/// A record of 128 bytes for each number, as the log would have it, a little further on after each rewriting.
fn location(number: u64, rewritten: u64) -> Location {
    Location::new(8 * (number + 1) + rewritten).expect("locations are not zero")
}

/// Knows the key of each location without having it.
struct Records;

impl KeyReader for Records {
    fn matches(&self, _: &Guard, location: Location, wanted: &[u8]) -> Result<bool> {
        Ok(key(location.raw() / 8 - 1) == wanted)
    }

    fn read(&self, _: &Guard, location: Location, into: &mut Vec<u8>) -> Result<()> {
        into.clear();
        into.extend_from_slice(&key(location.raw() / 8 - 1));
        Ok(())
    }
}

fn put(index: &Index, number: u64, rewritten: u64) {
    let key = key(number);
    let location = location(number, rewritten);
    let guard = epoch::pin();
    match index
        .entry(&guard, index.hash(&key), &key, location.bits())
        .expect("memory suffices")
    {
        Entry::Occupied(entry) => entry.replace(location),
        Entry::Vacant(entry) => entry.insert(location),
    }
}

fn new_index(expected_keys: u64, key_storage: KeyStorage) -> Index {
    let options = IndexOptions {
        seed: 42,
        slab_page_bytes: 4096,
        expected_keys,
        key_storage,
    };
    Index::new(&options, Arc::new(Records)).expect("the options are valid")
}

fn measure_prepared(count: u64, key_storage: KeyStorage) {
    let index = new_index(count, key_storage);
    timed("insert, prepared for the keys", count, || {
        (0..count).for_each(|number| put(&index, number, 0));
    });
}

fn measure_index(count: u64, key_storage: KeyStorage) -> Index {
    let index = new_index(0, key_storage);
    timed("insert, growing", count, || {
        (0..count).for_each(|number| put(&index, number, 0));
    });
    timed("find, there", count, || {
        for number in scattered(count) {
            let found = index.find(&epoch::pin(), index.hash(&key(number)), |location| {
                (location.raw() / 8 == number + 1).then_some(location)
            });
            assert!(black_box(found).is_some());
        }
    });
    let mut candidates = 0;
    timed("find, not there", count, || {
        for number in scattered(count) {
            index.find(&epoch::pin(), index.hash(&key(number + count)), |_| {
                candidates += 1;
                None::<()>
            });
        }
    });
    line(
        "candidates that are no match",
        candidates as f64 * 100.0 / count as f64,
        "%",
    );
    timed("locate (compares the key), there", count, || {
        for number in scattered(count) {
            let key = key(number);
            let found = index.locate(&epoch::pin(), index.hash(&key), &key);
            assert!(black_box(found.expect("every key can be read")).is_some());
        }
    });
    timed("replace", count, || {
        scattered(count).for_each(|number| put(&index, number, 1));
    });
    timed("remove and insert again", count, || {
        for number in scattered(count) {
            let key = key(number);
            let guard = epoch::pin();
            let entry = index.occupied(&guard, index.hash(&key), &key);
            let entry = entry.expect("every key can be read");
            entry.expect("the key is there").remove();
            drop(guard);
            put(&index, number, 0);
        }
    });
    index
}

fn report_memory(index: &Index, count: u64, resident: u64) {
    let figures = index.statistics();
    let counted = figures.index_bytes + figures.slab_allocated_bytes;
    let keys = if figures.slab_count > 0 {
        figures.key_bytes
    } else {
        0
    };
    let besides = |bytes: u64| (bytes as f64 - keys as f64) / count as f64;
    line("bytes a key besides the key", besides(counted), "B");
    line("resident, by the system", besides(resident), "B");
    line("load", figures.keys as f64 / figures.slots as f64, "");
    println!("  {figures:?}");
}

fn measure_map(count: u64) -> HashMap<Box<[u8]>, u64> {
    let mut map = HashMap::new();
    timed("insert", count, || {
        for number in 0..count {
            map.insert(Box::from(key(number)), number + 1);
        }
    });
    timed("get, there", count, || {
        for number in scattered(count) {
            assert!(black_box(map.get(&key(number)[..])).is_some());
        }
    });
    timed("get, not there", count, || {
        for number in scattered(count) {
            assert!(black_box(map.get(&key(number + count)[..])).is_none());
        }
    });
    map
}

/// Resident bytes of this process, 0 where the system does not tell.
fn resident_bytes() -> u64 {
    let pages = |status: String| status.split_whitespace().nth(1)?.parse::<u64>().ok();
    read_status("/proc/self/statm").and_then(pages).unwrap_or(0) * 4096
}

fn read_status(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}
