//! A session that gets into memory of its own, one pair at a time unless asked for many, and scans by buffers of pairs.

use std::ptr::null_mut;

use super::Freyja;
use super::declarations::{DONE, Handle, NOT_FOUND, PAIR_ALIGNMENT, PairHead, check};
use crate::engine::{Pair, Session};
use crate::pairs::KEY_LEN;

/// Most keys of one call.
const MOST_AT_ONCE: usize = 64;

/// Bytes that a scan asks for at once.
const SCANNED: usize = 64 << 10;

/// The calls that a program makes unless it wants others.
pub struct FreyjaSession<'e> {
    engine: &'e Freyja,
    buffer: Vec<u8>,
    /// Filled and emptied again by each write of many pairs; null before the first.
    batch: Handle,
}

impl<'e> FreyjaSession<'e> {
    pub fn new(engine: &'e Freyja) -> Self {
        Self {
            engine,
            buffer: vec![0; 8192],
            batch: null_mut(),
        }
    }

    /// The store that it works with.
    pub fn engine(&self) -> &'e Freyja {
        self.engine
    }

    /// An iterator over all pairs.
    pub fn iterate(&self) -> Handle {
        let Freyja { functions, handle } = self.engine;
        let mut iterator = null_mut();
        // SAFETY: the iterator is written here.
        let status = unsafe { (functions.freyja_iter_new)(*handle, &mut iterator) };
        check(functions, status, "iterate");
        iterator
    }

    /// Frees an iterator.
    pub fn free(&self, iterator: Handle) {
        // SAFETY: the library checks handles.
        let status = unsafe { (self.engine.functions.freyja_iter_free)(iterator) };
        check(&self.engine.functions, status, "free the iterator");
    }
}

impl Drop for FreyjaSession<'_> {
    fn drop(&mut self) {
        // SAFETY: the library checks handles, and freeing none does nothing.
        let status = unsafe { (self.engine.functions.freyja_batch_free)(self.batch) };
        check(&self.engine.functions, status, "free the batch");
    }
}

impl Session for FreyjaSession<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        let Freyja { functions, handle } = self.engine;
        // SAFETY: pointers and lengths are those of live slices.
        let status = unsafe {
            (functions.freyja_put)(
                *handle,
                key.as_ptr(),
                key.len(),
                value.as_ptr(),
                value.len(),
            )
        };
        check(functions, status, "put");
    }

    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> bool {
        let Freyja { functions, handle } = self.engine;
        let mut length = 0;
        // SAFETY: pointers and lengths are those of live slices.
        let status = unsafe {
            let (buffer, capacity) = (self.buffer.as_mut_ptr(), self.buffer.len());
            let (key, key_len) = (key.as_ptr(), key.len());
            (functions.freyja_get_into)(*handle, key, key_len, buffer, capacity, &mut length)
        };
        if status == NOT_FOUND {
            return false;
        }
        check(functions, status, "get");
        see(&self.buffer[..length]);
        true
    }

    fn scan(&mut self, see: &mut dyn FnMut(&[u8], &[u8])) {
        let functions = &self.engine.functions;
        self.buffer.resize(SCANNED.max(self.buffer.len()), 0);
        let iterator = self.iterate();
        loop {
            let mut used = 0;
            let (buffer, capacity) = (self.buffer.as_mut_ptr(), self.buffer.len());
            // SAFETY: pointer and length are those of a live slice; how many pairs there are is not asked.
            let status = unsafe {
                let next = functions.freyja_iter_next_batch;
                next(iterator, buffer, capacity, &mut used, null_mut())
            };
            if status == DONE {
                break;
            }
            check(functions, status, "next batch");
            let mut at = 0;
            while at < used {
                let (head, pairs) = PairHead::split(&self.buffer[at..]);
                let (key, value) = pairs.split_at(head.key_len as usize);
                let value = &value[..head.value_len as usize];
                see(key, value);
                let length = PairHead::LEN + key.len() + value.len();
                at += length.next_multiple_of(PAIR_ALIGNMENT);
            }
        }
        self.free(iterator);
    }

    fn put_many(&mut self, pairs: &[Pair<'_>]) -> bool {
        let Freyja { functions, handle } = self.engine;
        if self.batch.is_null() {
            // SAFETY: the batch is written here.
            let status = unsafe { (functions.freyja_batch_new)(&mut self.batch) };
            check(functions, status, "batch");
        }
        // SAFETY: pointers and lengths are those of live slices.
        unsafe {
            for (key, value) in pairs {
                let put = functions.freyja_batch_put;
                let (value, value_len) = (value.as_ptr(), value.len());
                let status = put(self.batch, key.as_ptr(), key.len(), value, value_len);
                check(functions, status, "batch put");
            }
            let status = (functions.freyja_write)(*handle, self.batch);
            check(functions, status, "write");
            let status = (functions.freyja_batch_clear)(self.batch);
            check(functions, status, "clear");
        }
        true
    }

    fn get_many(&mut self, keys: &[[u8; KEY_LEN]], see: &mut dyn FnMut(usize, &[u8])) -> bool {
        let Freyja { functions, handle } = self.engine;
        let mut key_ends = [0; MOST_AT_ONCE];
        let mut value_ends = [0; MOST_AT_ONCE];
        let mut states = [0; MOST_AT_ONCE];
        let mut values = null_mut();
        for (place, end) in key_ends.iter_mut().enumerate() {
            *end = (place + 1) * KEY_LEN;
        }
        assert!(keys.len() <= MOST_AT_ONCE);
        // SAFETY: all arrays have room for as many as there are keys.
        let status = unsafe {
            (functions.freyja_get_many)(
                *handle,
                keys.as_ptr().cast(),
                key_ends.as_ptr(),
                keys.len(),
                &mut values,
                value_ends.as_mut_ptr(),
                states.as_mut_ptr(),
            )
        };
        check(functions, status, "get many");
        let mut start = 0;
        for place in 0..keys.len() {
            let length = value_ends[place] - start;
            if states[place] != NOT_FOUND {
                check(functions, states[place], "get many");
                // SAFETY: there the value lies until all are freed.
                see(place, unsafe {
                    std::slice::from_raw_parts(values.add(start), length)
                });
            }
            start = value_ends[place];
        }
        // SAFETY: they came from the library, and are not used any more.
        unsafe { (functions.freyja_free_buf)(values) };
        true
    }
}
