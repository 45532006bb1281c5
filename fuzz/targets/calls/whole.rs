//! Calls that are about all of a store: passes over it, readers beside its writer, compaction.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::ptr;

use freyja_fuzz::c::{self, Handle, Options, Slice};
use freyja_fuzz::input::Input;

use super::World;

/// An iterator that is under way.
pub struct Pass {
    iterator: Handle,
    place: usize,
    /// Of the place, when the pass began.
    writes: u64,
    met: BTreeSet<Vec<u8>>,
}

fn bytes(slice: &Slice) -> &[u8] {
    assert!(!slice.data.is_null());
    // SAFETY: the library says that so many bytes are there until the next call.
    unsafe { std::slice::from_raw_parts(slice.data.cast(), slice.len) }
}

impl World {
    /// Begins a pass, or goes on with the one under way.
    pub fn go_on(&mut self, input: &mut Input<'_>) {
        let Some(mut pass) = self.pass.take() else {
            let place = input.byte() as usize % 2;
            let Some(db) = self.places[place].db else {
                return;
            };
            let mut iterator = ptr::null_mut();
            // SAFETY: the handle is open.
            assert_eq!(unsafe { c::freyja_iter_new(db, &mut iterator) }, c::OK);
            self.pass = Some(Pass {
                iterator,
                place,
                writes: self.places[place].writes,
                met: BTreeSet::new(),
            });
            return;
        };
        for _ in 0..input.byte() {
            let (mut key, mut value) = (Slice::default(), Slice::default());
            // SAFETY: the iterator has not been freed.
            let status = unsafe { c::freyja_iter_next(pass.iterator, &mut key, &mut value) };
            let place = &self.places[pass.place];
            let is_quiet = pass.writes == place.writes;
            match status {
                c::OK => {
                    let (key, value) = (bytes(&key), bytes(&value));
                    assert!(pass.met.insert(key.to_vec()), "a key comes once");
                    let expected = place.map.get(key);
                    assert!(!is_quiet || expected.is_some_and(|it| it == value));
                }
                c::DONE => {
                    assert!(!is_quiet || pass.met.len() == place.map.len());
                    break;
                }
                // The store was closed; it may be open again.
                _ => {
                    assert_eq!(status, c::CLOSED);
                    self.pass = Some(pass);
                    self.end_pass();
                    return;
                }
            }
        }
        self.pass = Some(pass);
        if input.byte() % 4 == 0 {
            self.end_pass();
        }
    }

    pub fn end_pass(&mut self) {
        if let Some(pass) = self.pass.take() {
            // SAFETY: freed once.
            assert_eq!(unsafe { c::freyja_iter_free(pass.iterator) }, c::OK);
            self.stale.push(pass.iterator);
        }
    }

    /// Opens another reader, or lets it see what was written since.
    pub fn refresh(&mut self, input: &mut Input<'_>) {
        let (number, how) = (input.byte() as usize % 2, input.byte());
        let Some(reader) = self.readers[number] else {
            self.readers[number] = self.open_reader(number, how);
            return;
        };
        let place = &self.places[number];
        // SAFETY: the handle is open.
        unsafe {
            assert_eq!(c::freyja_refresh(reader), c::OK);
            let mut count = u64::MAX;
            assert_eq!(c::freyja_count(reader, &mut count), c::OK);
            assert_eq!(count, place.map.len() as u64);
            if let Some((key, value)) = place.map.iter().nth(how as usize) {
                let (mut got, mut length) = (ptr::null_mut(), 0);
                let key_start = key.as_ptr().cast();
                let status = c::freyja_get(reader, key_start, key.len(), &mut got, &mut length);
                assert_eq!(status, c::OK);
                assert_eq!(std::slice::from_raw_parts(got.cast::<u8>(), length), value);
                self.buffers.push(got);
            }
        }
        if how % 8 == 7 {
            self.close_reader(number);
        }
    }

    fn open_reader(&mut self, number: usize, how: u8) -> Option<Handle> {
        let place = &self.places[number];
        if !place.exists {
            return None;
        }
        let options = Options {
            flags: c::READ_ONLY_STORE,
            read_mode: u32::from(how & 1 != 0),
            key_storage: u32::from(how & 2 != 0),
            ..Options::small()
        };
        let path = CString::new(self.path(number).to_str().unwrap()).unwrap();
        let mut reader = ptr::null_mut();
        // SAFETY: all pointers are valid.
        let status =
            unsafe { c::freyja_open(path.as_ptr(), &options, &mut reader, ptr::null_mut()) };
        assert_eq!(status, c::OK);
        Some(reader)
    }

    pub fn close_reader(&mut self, number: usize) {
        if let Some(reader) = self.readers[number].take() {
            // SAFETY: a handle.
            assert_eq!(unsafe { c::freyja_close(reader) }, c::OK);
            self.stale.push(reader);
        }
    }

    pub fn compact(&mut self, input: &mut Input<'_>) {
        let place = &self.places[input.byte() as usize % 2];
        let Some(db) = place.db else { return };
        // SAFETY: the handle is open.
        let status = unsafe { c::freyja_compact(db, None, ptr::null_mut(), ptr::null_mut()) };
        assert_eq!(status, if place.read_only { c::READ_ONLY } else { c::OK });
        let mut count = u64::MAX;
        // SAFETY: the handle is open.
        assert_eq!(unsafe { c::freyja_count(db, &mut count) }, c::OK);
        assert_eq!(count, place.map.len() as u64);
    }
}
