//! Sessions that get and write by calls that few stores have.

use std::ptr::{null, null_mut};

use super::Freyja;
use super::declarations::{DONE, NOT_FOUND, PAIR_ALIGNMENT, PairHead, check};
use super::session::FreyjaSession;
use crate::engine::{Pair, Session};

/// Values come in memory of the library's pool, which is given back.
pub struct Owned<'e>(pub FreyjaSession<'e>);

/// Values are looked at where they lie in the log.
pub struct Pinned<'e>(pub FreyjaSession<'e>);

/// Pairs are written, and scanned, many in one buffer.
pub struct Packed<'e> {
    usual: FreyjaSession<'e>,
    buffer: Vec<u8>,
}

/// Bytes that a scan asks for at once.
const SCANNED: usize = 64 << 10;

impl Session for Owned<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.0.put(key, value);
    }

    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> bool {
        let Freyja { functions, handle } = self.0.engine();
        let (mut value, mut length) = (null_mut(), 0);
        // SAFETY: pointer and length are those of a live slice.
        let status = unsafe {
            let get = functions.freyja_get;
            get(*handle, key.as_ptr(), key.len(), &mut value, &mut length)
        };
        if status == NOT_FOUND {
            return false;
        }
        check(functions, status, "get");
        // SAFETY: the value has `length` bytes until it is freed.
        unsafe {
            see(std::slice::from_raw_parts(value, length));
            (functions.freyja_free_buf)(value);
        }
        true
    }

    fn scan(&mut self, see: &mut dyn FnMut(&[u8], &[u8])) {
        self.0.scan(see);
    }
}

impl Session for Pinned<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.0.put(key, value);
    }

    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> bool {
        let Freyja { functions, handle } = self.0.engine();
        let (mut pin, mut value, mut length) = (null_mut(), null(), 0);
        // SAFETY: pointer and length are those of a live slice.
        let status = unsafe {
            let get = functions.freyja_get_pinned;
            let (key, key_len) = (key.as_ptr(), key.len());
            get(*handle, key, key_len, &mut pin, &mut value, &mut length)
        };
        if status == NOT_FOUND {
            return false;
        }
        check(functions, status, "get pinned");
        // SAFETY: the value has `length` bytes until it is unpinned.
        let status = unsafe {
            see(std::slice::from_raw_parts(value, length));
            (functions.freyja_unpin)(pin)
        };
        check(functions, status, "unpin");
        true
    }

    fn scan(&mut self, see: &mut dyn FnMut(&[u8], &[u8])) {
        self.0.scan(see);
    }
}

impl<'e> Packed<'e> {
    pub fn new(usual: FreyjaSession<'e>) -> Self {
        let buffer = Vec::with_capacity(SCANNED);
        Self { usual, buffer }
    }
}

impl Session for Packed<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.usual.put(key, value);
    }

    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> bool {
        self.usual.get(key, see)
    }

    fn scan(&mut self, see: &mut dyn FnMut(&[u8], &[u8])) {
        let functions = &self.usual.engine().functions;
        self.buffer.resize(SCANNED, 0);
        let iterator = self.usual.iterate();
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
        self.usual.free(iterator);
    }

    fn put_many(&mut self, pairs: &[Pair<'_>]) -> bool {
        let Freyja { functions, handle } = self.usual.engine();
        self.buffer.clear();
        for (key, value) in pairs {
            for length in [key.len(), value.len()] {
                self.buffer.extend((length as u32).to_le_bytes());
            }
            self.buffer.extend(key);
            self.buffer.extend(*value);
        }
        // SAFETY: pointer and length are those of a live slice.
        let status = unsafe {
            let write = functions.freyja_write_packed;
            write(*handle, self.buffer.as_ptr(), self.buffer.len())
        };
        check(functions, status, "write packed");
        true
    }
}
