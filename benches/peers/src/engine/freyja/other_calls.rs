//! Sessions that get and write by calls that few stores have.

use std::ptr::{null, null_mut};

use super::Freyja;
use super::declarations::{DONE, NOT_FOUND, Slice, check};
use super::session::FreyjaSession;
use crate::engine::{Pair, Session};

/// Values come in memory of the library's pool, which is given back; a scan shows one pair after the other where it lies.
pub struct Owned<'e>(pub FreyjaSession<'e>);

/// Values are looked at where they lie in the log.
pub struct Pinned<'e>(pub FreyjaSession<'e>);

/// Pairs are written many in one buffer.
pub struct Packed<'e> {
    usual: FreyjaSession<'e>,
    buffer: Vec<u8>,
}

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
        let functions = &self.0.engine().functions;
        let iterator = self.0.iterate();
        let (mut key, mut value) = (Slice::empty(), Slice::empty());
        loop {
            // SAFETY: key and value are written here, and valid until the next call.
            unsafe {
                let status = (functions.freyja_iter_next)(iterator, &mut key, &mut value);
                if status == DONE {
                    break;
                }
                check(functions, status, "next");
                see(key.bytes(), value.bytes());
            }
        }
        self.0.free(iterator);
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
        let buffer = Vec::new();
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
        self.usual.scan(see);
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
