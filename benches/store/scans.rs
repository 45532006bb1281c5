//! Going over all pairs through an iterator; beside it stands going over the pairs of the hash map.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use crate::contenders::Store;
use crate::library::{DONE, Library, OK, SYNC_NONE, Slice};
use crate::rounds;
use crate::workload::Workload;

/// Size in bytes of the buffer that a call fills.
const BUFFER: usize = 64 << 10;
/// Before each pair in it: both lengths.
const HEAD: usize = 8;
const KEYS_ONLY: u32 = 1;

/// What is measured, in the order in which it runs.
pub const MEASURED: [&str; 3] = [
    "scan, a pair by one call",
    "scan, 64 KiB by one call",
    "scan of keys only, 64 KiB by one call",
];

/// What was met: how often, and the sum of the first bytes of all keys and of all values.
#[derive(Default, PartialEq, Eq, Debug)]
struct Met {
    pairs: usize,
    keys: u64,
    values: u64,
}

impl Met {
    #[inline]
    fn add(&mut self, key: &[u8], value: &[u8]) {
        self.pairs += 1;
        self.keys = self.keys.wrapping_add(first(key));
        self.values = self.values.wrapping_add(first(value));
    }

    fn expected(workload: &Workload) -> Met {
        let mut met = Met::default();
        (0..workload.pairs).for_each(|it| met.add(&workload.key(it), workload.value(it, 0)));
        met
    }
}

#[inline]
fn first(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |it| u64::from_le_bytes(*it))
}

/// Pairs a second of each scan of a store that is filled for it.
pub fn measure(library: &Library, directory: &Path, workload: &Workload) -> Vec<f64> {
    let mut store = Store::open(library, directory, SYNC_NONE);
    rounds::fill(&mut store, workload);
    let expected = Met::expected(workload);
    let keys = Met {
        values: 0,
        ..Met::expected(workload)
    };
    let scans: [(&dyn Fn() -> Met, &Met); 3] = [
        (&|| by_pairs(library, &store), &expected),
        (&|| by_buffers(library, &store, 0), &expected),
        (&|| by_buffers(library, &store, KEYS_ONLY), &keys),
    ];
    let rates = scans.map(|(scan, expected)| {
        let began = Instant::now();
        let met = scan();
        let rate = workload.pairs as f64 / began.elapsed().as_secs_f64();
        assert!(met == *expected, "met {met:?} instead of {expected:?}");
        rate
    });
    store.close();
    rates.into()
}

/// The same for the standard library's map.
pub fn measure_map(workload: &Workload) -> f64 {
    let pairs = (0..workload.pairs).map(|number| {
        let value = workload.value(number, 0).to_vec();
        (workload.key(number).to_vec(), value)
    });
    let map: HashMap<Vec<u8>, Vec<u8>> = pairs.collect();
    let began = Instant::now();
    let mut met = Met::default();
    map.iter().for_each(|(key, value)| met.add(key, value));
    let rate = workload.pairs as f64 / began.elapsed().as_secs_f64();
    assert!(met == Met::expected(workload));
    rate
}

fn by_pairs(library: &Library, store: &Store<'_>) -> Met {
    let iter = store.iterator(0);
    let mut met = Met::default();
    let (mut key, mut value) = (Slice::EMPTY, Slice::EMPTY);
    loop {
        // SAFETY: the handle is checked by the library; the slices are of the type that it writes.
        let status = unsafe { (library.iter_next)(iter, &mut key, &mut value) };
        if status == DONE {
            break;
        }
        library.check(status, "iter_next");
        // SAFETY: the library says that the bytes are there until the next call.
        unsafe { met.add(key.bytes(), value.bytes()) };
    }
    library.free_iterator(iter);
    met
}

fn by_buffers(library: &Library, store: &Store<'_>, flags: u32) -> Met {
    let iter = store.iterator(flags);
    let mut met = Met::default();
    let mut buffer = vec![0_u8; BUFFER];
    let (mut used, mut count) = (0, 0);
    loop {
        // SAFETY: the handle is checked by the library; the buffer is as long as is said.
        let status = unsafe {
            let place = buffer.as_mut_ptr().cast();
            (library.iter_next_batch)(iter, place, BUFFER, &mut used, &mut count)
        };
        if status != OK {
            assert!(status == DONE, "iter_next_batch: status {status}");
            break;
        }
        let mut at = 0;
        while at < used {
            let length = |at: usize| {
                let bytes = buffer[at..at + 4].try_into().expect("four bytes");
                u32::from_ne_bytes(bytes) as usize
            };
            let (key, value) = (at + HEAD, at + HEAD + length(at));
            let end = value + length(at + 4);
            met.add(&buffer[key..value], &buffer[value..end]);
            at = end.next_multiple_of(HEAD);
        }
    }
    library.free_iterator(iter);
    met
}
