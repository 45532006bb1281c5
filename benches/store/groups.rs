//! Several operations by one call: puts in batches, gets of several keys. Beside them stand the same store's single calls.

use std::ffi::c_int;
use std::path::Path;
use std::time::Instant;

use crate::library::{Handle, Library, OK, SYNC_NONE};
use crate::workload::{KEY_LEN, VALUE_LEN, Workload};

/// Puts in a batch.
pub const BATCH: usize = 100;
/// Keys asked for by one call.
pub const GROUP: usize = 64;

/// What is measured, in the order in which it runs.
pub const MEASURED: [&str; 3] = ["put", "get hit, into memory of its own", "overwrite"];

/// Operations a second.
pub fn measure(library: &Library, directory: &Path, workload: &Workload) -> Vec<f64> {
    let store = library.open(directory, SYNC_NONE);
    let rate = |run: &mut dyn FnMut()| {
        let began = Instant::now();
        run();
        workload.pairs as f64 / began.elapsed().as_secs_f64()
    };
    let in_order: Vec<u32> = (0..workload.pairs as u32).collect();
    let rates = vec![
        rate(&mut || put_all(library, store, workload, &in_order, 0)),
        rate(&mut || check_all(library, store, workload, 0)),
        rate(&mut || put_all(library, store, workload, &workload.shuffled, 1)),
    ];
    check_all(library, store, workload, 1);
    library.close(store);
    rates
}

fn put_all(library: &Library, store: Handle, workload: &Workload, numbers: &[u32], version: u64) {
    let batch = library.new_batch();
    for numbers in numbers.chunks(BATCH) {
        // SAFETY: the handle is checked by the library.
        library.check(unsafe { (library.batch_clear)(batch) }, "batch_clear");
        for number in numbers {
            let key = workload.key(*number as usize);
            let value = workload.value(*number as usize, version);
            // SAFETY: pointers and lengths are those of live slices.
            let status = unsafe {
                (library.batch_put)(
                    batch,
                    key.as_ptr().cast(),
                    KEY_LEN,
                    value.as_ptr().cast(),
                    VALUE_LEN,
                )
            };
            library.check(status, "batch_put");
        }
        // SAFETY: the handles are checked by the library.
        library.check(unsafe { (library.write)(store, batch) }, "write");
    }
    // SAFETY: the handle is checked by the library.
    library.check(unsafe { (library.batch_free)(batch) }, "batch_free");
}

/// Gets every pair in shuffled order and compares its value.
fn check_all(library: &Library, store: Handle, workload: &Workload, version: u64) {
    let mut keys = [0; GROUP * KEY_LEN];
    let mut key_ends = [0; GROUP];
    let mut val_ends = [0; GROUP];
    let mut states: [c_int; GROUP] = [0; GROUP];
    for numbers in workload.shuffled.chunks(GROUP) {
        for (place, number) in numbers.iter().enumerate() {
            let key = workload.key(*number as usize);
            keys[place * KEY_LEN..][..KEY_LEN].copy_from_slice(&key);
            key_ends[place] = (place + 1) * KEY_LEN;
        }
        let mut values = std::ptr::null_mut();
        // SAFETY: the arrays have at least as many elements as there are numbers.
        let status = unsafe {
            (library.get_many)(
                store,
                keys.as_ptr().cast(),
                key_ends.as_ptr(),
                numbers.len(),
                &mut values,
                val_ends.as_mut_ptr(),
                states.as_mut_ptr(),
            )
        };
        library.check(status, "get_many");
        for (place, number) in numbers.iter().enumerate() {
            let found = states[place] == OK && val_ends[place] == (place + 1) * VALUE_LEN;
            assert!(found, "pair {number}: not found");
            // SAFETY: the ends say that so many bytes are there, until free_buf.
            let value = unsafe {
                std::slice::from_raw_parts(values.cast::<u8>().add(place * VALUE_LEN), VALUE_LEN)
            };
            assert!(
                value == workload.value(*number as usize, version),
                "pair {number}: wrong value"
            );
        }
        // SAFETY: the values came from get_many and are not used any more.
        unsafe { (library.free_buf)(values) };
    }
}
