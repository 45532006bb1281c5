//! What is measured: the store through C, and the hash map beside it, behind one trait so that both do the same work.

use std::collections::HashMap;
use std::path::Path;

use crate::library::{Handle, Library, NOT_FOUND, OK};
use crate::workload::VALUE_LEN;

pub trait Contender {
    fn put(&mut self, key: &[u8], value: &[u8]);
    /// Copies the value into memory of the caller; false if there is none.
    fn get_into(&mut self, key: &[u8], value: &mut [u8; VALUE_LEN]) -> bool;
    /// Copies the value into memory made for it, shows it and frees it; false if there is none.
    fn get_owned(&mut self, key: &[u8], show: impl FnOnce(&[u8])) -> bool;
    /// False if there was no such key.
    fn delete(&mut self, key: &[u8]) -> bool;
}

pub struct Store<'l> {
    library: &'l Library,
    handle: Handle,
}

impl<'l> Store<'l> {
    pub fn open(library: &'l Library, directory: &Path, sync_mode: u32) -> Store<'l> {
        Store {
            library,
            handle: library.open(directory, sync_mode),
        }
    }

    /// An iterator with these flags, before the first pair.
    pub fn iterator(&self, flags: u32) -> Handle {
        self.library.new_iterator(self.handle, flags)
    }

    pub fn close(self) {
        self.library.close(self.handle);
    }

    /// Whether `status` says that the key is there; stops the benchmark at a failure.
    fn is_there(&self, status: i32, doing: &str) -> bool {
        if status != NOT_FOUND {
            self.library.check(status, doing);
        }
        status == OK
    }
}

impl Contender for Store<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        // SAFETY: pointers and lengths are those of live slices.
        let status = unsafe {
            (self.library.put)(
                self.handle,
                key.as_ptr().cast(),
                key.len(),
                value.as_ptr().cast(),
                value.len(),
            )
        };
        self.library.check(status, "put");
    }

    fn get_into(&mut self, key: &[u8], value: &mut [u8; VALUE_LEN]) -> bool {
        let mut length = 0;
        // SAFETY: pointers and lengths are those of live slices.
        let status = unsafe {
            let (key, key_len) = (key.as_ptr().cast(), key.len());
            (self.library.get_into)(
                self.handle,
                key,
                key_len,
                value.as_mut_ptr().cast(),
                VALUE_LEN,
                &mut length,
            )
        };
        let there = self.is_there(status, "get_into");
        assert!(!there || length == VALUE_LEN);
        there
    }

    fn get_owned(&mut self, key: &[u8], show: impl FnOnce(&[u8])) -> bool {
        let (mut value, mut length) = (std::ptr::null_mut(), 0);
        // SAFETY: pointers and lengths are those of live slices and variables.
        let status = unsafe {
            (self.library.get)(
                self.handle,
                key.as_ptr().cast(),
                key.len(),
                &mut value,
                &mut length,
            )
        };
        if !self.is_there(status, "get") {
            return false;
        }
        // SAFETY: a successful get gives `length` readable bytes until free_buf.
        show(unsafe { std::slice::from_raw_parts(value.cast::<u8>(), length) });
        // SAFETY: the value came from get and is not used any more.
        unsafe { (self.library.free_buf)(value) };
        true
    }

    fn delete(&mut self, key: &[u8]) -> bool {
        // SAFETY: pointer and length are those of a live slice.
        let status = unsafe { (self.library.delete)(self.handle, key.as_ptr().cast(), key.len()) };
        self.is_there(status, "delete")
    }
}

/// The standard library's map with its default hasher: a key and a value allocation a pair, nothing on disk.
#[derive(Default)]
pub struct Map(HashMap<Vec<u8>, Vec<u8>>);

impl Contender for Map {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.0.insert(key.to_vec(), value.to_vec());
    }

    fn get_into(&mut self, key: &[u8], value: &mut [u8; VALUE_LEN]) -> bool {
        self.0
            .get(key)
            .map(|found| value.copy_from_slice(found))
            .is_some()
    }

    fn get_owned(&mut self, key: &[u8], show: impl FnOnce(&[u8])) -> bool {
        self.0
            .get(key)
            .cloned()
            .map(|found| show(std::hint::black_box(&found)))
            .is_some()
    }

    fn delete(&mut self, key: &[u8]) -> bool {
        self.0.remove(key).is_some()
    }
}
