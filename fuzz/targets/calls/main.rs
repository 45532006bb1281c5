//! Any sequence of C calls, wrong ones among them: what is right answers as a map would, what is wrong answers the error that
//! is documented, and nothing else happens.
#![no_main]

mod whole;

use std::collections::BTreeMap;
use std::ffi::{CString, c_int, c_void};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::OnceLock;

use freyja_fuzz::c::{self, Handle, Options};
use freyja_fuzz::input::Input;
use libfuzzer_sys::fuzz_target;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;
type Change = (Vec<u8>, Option<Vec<u8>>);

/// Whether the sequence uses real files, as one in sixty-four does. The others use a disk in memory, which takes less
/// than half of the time.
#[cfg(fuzzing)]
fn choose_disk(data: &[u8]) -> bool {
    let is_real = data.first().is_some_and(|first| *first >= 252);
    let disk = (!is_real).then(|| freyja::vfs::SimulatedDisk::new(0));
    freyja::simulation::set_disk(disk);
    is_real
}

/// Builds without instrumentation have no disk in memory.
#[cfg(not(fuzzing))]
fn choose_disk(_: &[u8]) -> bool {
    true
}

/// Where stores on real files are: in memory, if the system has such a place.
fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() {
            memory
        } else {
            std::env::temp_dir()
        };
        let folder = parent.join(format!("freyja-fuzz-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    })
}

/// A place for a store: what must be in it, and its handle if it is open.
#[derive(Default)]
struct Place {
    map: Map,
    db: Option<Handle>,
    read_only: bool,
    exists: bool,
    /// How often something was written.
    writes: u64,
}

#[derive(Default)]
struct Batch {
    handle: Option<Handle>,
    changes: Vec<Change>,
    /// Savepoints with the number of changes then.
    savepoints: Vec<(u64, usize)>,
}

#[derive(Default)]
struct World {
    places: [Place; 2],
    batches: [Batch; 2],
    /// Handles that were given up, or never were one.
    stale: Vec<Handle>,
    buffers: Vec<*mut c_void>,
    /// Another reader of each place.
    readers: [Option<Handle>; 2],
    pass: Option<whole::Pass>,
    /// Whether stores are on real files.
    is_real: bool,
}

fn key<'a>(input: &mut Input<'a>) -> &'a [u8] {
    match input.byte() {
        length @ 0..=3 => input.bytes(length as usize),
        length => input.bytes(1 + length as usize % 40),
    }
}

fn value(input: &mut Input<'_>) -> Vec<u8> {
    let (kind, fill) = (input.byte(), input.byte());
    let length = match kind {
        0..=200 => kind as usize % 50,
        201..=240 => kind as usize * 20,
        _ => kind as usize * 300,
    };
    vec![fill; length]
}

fn pointer(bytes: &[u8]) -> *const c_void {
    bytes.as_ptr().cast()
}

impl World {
    fn path(&self, number: usize) -> PathBuf {
        let name = format!("store{number}");
        if self.is_real {
            folder().join(name)
        } else {
            Path::new("/").join(name)
        }
    }

    fn open(&mut self, input: &mut Input<'_>) {
        let (number, how) = (input.byte() as usize % 2, input.byte());
        let options = Options {
            flags: [0, 0, 0, 1, 2, 4][how as usize % 6],
            key_storage: u32::from(how & 8 != 0),
            read_mode: u32::from(how & 16 != 0),
            segment_size: if how & 32 != 0 { 4096 } else { 16384 },
            ..Options::small()
        };
        let path = CString::new(self.path(number).to_str().unwrap()).unwrap();
        let place = &mut self.places[number];
        let mut db = ptr::null_mut();
        // SAFETY: all pointers are valid.
        let status = unsafe { c::freyja_open(path.as_ptr(), &options, &mut db, ptr::null_mut()) };
        let is_written = place.db.is_some() && !place.read_only;
        let expected = match (is_written, options.flags, place.exists) {
            (_, 1 | 4, false) => c::NOT_FOUND,
            (_, 4, true) => c::OK,
            (true, _, _) => c::BUSY,
            (false, 2, true) => c::EXISTS,
            _ => c::OK,
        };
        assert_eq!(status, expected, "open with flags {}", options.flags);
        if status != c::OK {
            assert!(db.is_null());
            return;
        }
        if place.db.is_some() {
            // A reader beside a writer, a writer beside a reader, or a second reader; it sees the same, and goes again.
            let mut count = u64::MAX;
            // SAFETY: the handle is open.
            assert_eq!(unsafe { c::freyja_count(db, &mut count) }, c::OK);
            assert_eq!(count, place.map.len() as u64);
            assert_eq!(self.call(|| unsafe { c::freyja_close(db) }), c::OK);
            self.stale.push(db);
            return;
        }
        place.exists = true;
        place.read_only = options.flags == 4;
        place.db = Some(db);
        let mut count = u64::MAX;
        // SAFETY: the handle is open.
        assert_eq!(unsafe { c::freyja_count(db, &mut count) }, c::OK);
        assert_eq!(count, place.map.len() as u64);
    }

    fn call(&self, call: impl FnOnce() -> c_int) -> c_int {
        let status = call();
        assert_ne!(status, c::PANIC);
        status
    }

    fn write(&mut self, input: &mut Input<'_>) {
        let place = &mut self.places[input.byte() as usize % 2];
        let Some(db) = place.db else { return };
        let key = key(input);
        // SAFETY: pointers and lengths belong together.
        let how = input.byte() % 8;
        place.writes += 1;
        if how == 7 {
            let value = value(input);
            let status = unsafe {
                let mut buffer = ptr::null_mut();
                assert_eq!(c::freyja_buf_alloc(value.len(), &mut buffer), c::OK);
                ptr::copy_nonoverlapping(value.as_ptr(), buffer.cast(), value.len());
                let status = c::freyja_put_buf(db, pointer(key), key.len(), buffer, value.len());
                if status != c::OK {
                    c::freyja_free_buf(buffer);
                }
                status
            };
            assert_eq!(status, if place.read_only { c::READ_ONLY } else { c::OK });
            if status == c::OK {
                place.map.insert(key.to_vec(), value);
            }
        } else if how % 4 != 0 {
            let value = value(input);
            let status =
                unsafe { c::freyja_put(db, pointer(key), key.len(), pointer(&value), value.len()) };
            assert_eq!(status, if place.read_only { c::READ_ONLY } else { c::OK });
            if status == c::OK {
                place.map.insert(key.to_vec(), value);
            }
        } else {
            let status = unsafe { c::freyja_delete(db, pointer(key), key.len()) };
            let expected = match (place.read_only, place.map.remove(key)) {
                (true, Some(value)) => {
                    place.map.insert(key.to_vec(), value);
                    c::READ_ONLY
                }
                (true, None) => c::READ_ONLY,
                (false, Some(_)) => c::OK,
                (false, None) => c::NOT_FOUND,
            };
            assert_eq!(status, expected);
        }
    }

    fn read(&mut self, input: &mut Input<'_>) {
        let place = &self.places[input.byte() as usize % 2];
        let Some(db) = place.db else { return };
        let key = match (input.byte(), place.map.keys().nth(input.byte() as usize)) {
            (0..200, Some(known)) => known.clone(),
            _ => key(input).to_vec(),
        };
        let expected = place.map.get(&key);
        let (mut got, mut length) = (ptr::null_mut(), usize::MAX);
        // SAFETY: pointers and lengths belong together; what is got is read as long as it is.
        unsafe {
            let status = c::freyja_get(db, pointer(&key), key.len(), &mut got, &mut length);
            assert_eq!(
                status,
                if expected.is_some() {
                    c::OK
                } else {
                    c::NOT_FOUND
                }
            );
            if let Some(expected) = expected {
                assert_eq!(
                    std::slice::from_raw_parts(got.cast::<u8>(), length),
                    expected
                );
                self.buffers.push(got);
            }
            let mut room = vec![0xEE_u8; input.u16() as usize % 400];
            let status = c::freyja_get_into(
                db,
                pointer(&key),
                key.len(),
                room.as_mut_ptr().cast(),
                room.len(),
                &mut length,
            );
            match expected {
                None => assert_eq!(status, c::NOT_FOUND),
                Some(expected) if expected.len() > room.len() => {
                    assert_eq!((status, length), (c::RANGE, expected.len()));
                    assert!(room.iter().all(|byte| *byte == 0xEE));
                }
                Some(expected) => {
                    assert_eq!((status, length), (c::OK, expected.len()));
                    assert_eq!(room[..length], expected[..]);
                }
            }
            let status = c::freyja_exists(db, pointer(&key), key.len());
            assert_eq!(status == c::OK, expected.is_some());
        }
    }

    fn read_many(&mut self, input: &mut Input<'_>) {
        let place = &self.places[input.byte() as usize % 2];
        let Some(db) = place.db else { return };
        let count = input.byte() as usize % 70;
        let keys: Vec<Vec<u8>> = (0..count)
            .map(|_| match place.map.keys().nth(input.byte() as usize) {
                Some(known) => known.clone(),
                None => key(input).to_vec(),
            })
            .collect();
        let packed = keys.concat();
        let ends: Vec<usize> = keys
            .iter()
            .scan(0, |end, key| {
                *end += key.len();
                Some(*end)
            })
            .collect();
        let (mut values, mut value_ends, mut states) =
            (ptr::null_mut(), vec![0; count], vec![-99; count]);
        // SAFETY: the arrays have as many elements as there are keys; values are read as far as the last end.
        unsafe {
            let status = c::freyja_get_many(
                db,
                pointer(&packed),
                ends.as_ptr(),
                count,
                &mut values,
                value_ends.as_mut_ptr(),
                states.as_mut_ptr(),
            );
            assert_eq!(status, c::OK);
            let mut begin = 0;
            for (number, key) in keys.iter().enumerate() {
                let end = value_ends[number];
                match place.map.get(key) {
                    None => assert_eq!((states[number], end), (c::NOT_FOUND, begin)),
                    Some(expected) => {
                        assert_eq!(states[number], c::OK);
                        let value =
                            std::slice::from_raw_parts(values.cast::<u8>().add(begin), end - begin);
                        assert_eq!(value, expected);
                    }
                }
                begin = end;
            }
        }
        self.buffers.push(values);
    }

    fn batch(&mut self, input: &mut Input<'_>) {
        let batch = &mut self.batches[input.byte() as usize % 2];
        let operation = input.byte() % 10;
        // SAFETY: pointers and lengths belong together; handles may be anything.
        unsafe {
            let Some(handle) = batch.handle else {
                let mut handle = ptr::null_mut();
                assert_eq!(c::freyja_batch_new(&mut handle), c::OK);
                *batch = Batch {
                    handle: Some(handle),
                    ..Batch::default()
                };
                return;
            };
            match operation {
                0..=3 => {
                    let (key, value) = (key(input), value(input));
                    assert_eq!(
                        c::freyja_batch_put(
                            handle,
                            pointer(key),
                            key.len(),
                            pointer(&value),
                            value.len()
                        ),
                        c::OK
                    );
                    batch.changes.push((key.to_vec(), Some(value)));
                }
                4 => {
                    let key = key(input);
                    assert_eq!(
                        c::freyja_batch_delete(handle, pointer(key), key.len()),
                        c::OK
                    );
                    batch.changes.push((key.to_vec(), None));
                }
                5 => {
                    let mut savepoint = 0;
                    assert_eq!(c::freyja_batch_savepoint(handle, &mut savepoint), c::OK);
                    batch.savepoints.push((savepoint, batch.changes.len()));
                }
                6 => {
                    let number = input.byte() as u64 % 12;
                    let found = batch
                        .savepoints
                        .iter()
                        .position(|(savepoint, _)| *savepoint == number);
                    let status = c::freyja_batch_rollback_to(handle, number);
                    assert_eq!(status, if found.is_some() { c::OK } else { c::INVALID });
                    if let Some(place) = found {
                        batch.changes.truncate(batch.savepoints[place].1);
                        batch.savepoints.truncate(place + 1);
                    }
                }
                7 => {
                    assert_eq!(c::freyja_batch_clear(handle), c::OK);
                    batch.changes.clear();
                    batch.savepoints.clear();
                }
                8 => {
                    let place = &mut self.places[input.byte() as usize % 2];
                    let Some(db) = place.db else { return };
                    let status = match input.byte() % 2 {
                        0 => c::freyja_write(db, handle),
                        _ => {
                            let packed = pack(&batch.changes);
                            c::freyja_write_packed(db, pointer(&packed), packed.len())
                        }
                    };
                    assert_eq!(status, if place.read_only { c::READ_ONLY } else { c::OK });
                    if status == c::OK {
                        place.writes += 1;
                        for (key, value) in &batch.changes {
                            match value {
                                Some(value) => place.map.insert(key.clone(), value.clone()),
                                None => place.map.remove(key),
                            };
                        }
                    }
                }
                _ => {
                    assert_eq!(c::freyja_batch_free(handle), c::OK);
                    self.stale.push(handle);
                    *batch = Batch::default();
                    return;
                }
            }
            let mut count = u64::MAX;
            assert_eq!(c::freyja_batch_count(handle, &mut count), c::OK);
            assert_eq!(count, batch.changes.len() as u64);
        }
    }

    fn close(&mut self, number: usize) {
        if let Some(db) = self.places[number].db.take() {
            // SAFETY: a handle.
            assert_eq!(unsafe { c::freyja_close(db) }, c::OK);
            self.stale.push(db);
        }
    }

    /// A handle that is none: closed, of another kind, made up, or NULL.
    fn wrong_handle(&self, input: &mut Input<'_>, for_batch: bool) -> Handle {
        let other = match for_batch {
            true => self.places[0].db,
            false => self.batches[0].handle,
        };
        match input.byte() % 4 {
            0 => ptr::null_mut(),
            1 => other.unwrap_or_default(),
            2 => {
                let made_up = ptr::without_provenance_mut(input.u64() as usize);
                let known = self.places.iter().filter_map(|it| it.db);
                let mut known = known.chain(self.batches.iter().filter_map(|it| it.handle));
                if known.any(|it| it == made_up) {
                    ptr::null_mut()
                } else {
                    made_up
                }
            }
            _ => match self.stale.len() {
                0 => ptr::null_mut(),
                count => self.stale[input.byte() as usize % count],
            },
        }
    }

    fn misuse_handles(&mut self, input: &mut Input<'_>) {
        let wrong = self.wrong_handle(input, false);
        let wrong_batch = self.wrong_handle(input, true);
        let (key, mut out, mut length, mut count) = (b"key", ptr::null_mut(), 0, 0);
        let (key, key_len) = (pointer(key), 3);
        // SAFETY: everything but the handle is right.
        let status = unsafe {
            match input.byte() % 16 {
                0 => c::freyja_put(wrong, key, key_len, key, key_len),
                1 => c::freyja_get(wrong, key, key_len, &mut out, &mut length),
                2 => c::freyja_delete(wrong, key, key_len),
                3 => c::freyja_sync(wrong),
                4 => c::freyja_count(wrong, &mut count),
                5 => c::freyja_exists(wrong, key, key_len),
                6 => c::freyja_write(wrong, self.batches[0].handle.unwrap_or_default()),
                7 => c::freyja_batch_put(wrong_batch, key, key_len, key, key_len),
                8 => c::freyja_batch_delete(wrong_batch, key, key_len),
                9 => c::freyja_batch_clear(wrong_batch),
                10 => c::freyja_batch_count(wrong_batch, &mut count),
                11 => c::freyja_batch_savepoint(wrong_batch, &mut count),
                12 => c::freyja_batch_rollback_to(wrong_batch, 0),
                13 if !wrong_batch.is_null() => c::freyja_batch_free(wrong_batch),
                14 if !wrong.is_null() => c::freyja_close(wrong),
                _ => match self.places[0].db {
                    Some(db) => c::freyja_write(db, wrong_batch),
                    None => c::INVALID,
                },
            }
        };
        assert!(status == c::INVALID || status == c::CLOSED, "{status}");
        assert!(out.is_null() && length == 0 && count == 0);
    }

    fn misuse_arguments(&mut self, input: &mut Input<'_>) {
        let Some(db) = self
            .places
            .iter()
            .find_map(|it| it.db.filter(|_| !it.read_only))
        else {
            return;
        };
        static LARGE: [u8; 65_537] = [0; 65_537];
        let mut room = [0_u8; 5000];
        let (null, here) = (ptr::null(), pointer(&LARGE));
        let (mut out, mut length) = (ptr::null_mut(), 0);
        let mut states = [0; 2];
        let number = input.u64();
        // SAFETY: pointers are NULL, or have as many bytes as the library may touch: none beyond a refused length.
        let (status, expected) = unsafe {
            match input.byte() % 14 {
                0 => (c::freyja_put(db, null, 3, here, 3), c::INVALID),
                1 => (c::freyja_put(db, here, 3, null, 3), c::INVALID),
                2 => (c::freyja_put(db, here, 65_537, here, 3), c::TOO_LARGE),
                3 => (
                    c::freyja_put(db, here, 3, here, (1 << 31) + number as usize % (1 << 40)),
                    c::TOO_LARGE,
                ),
                4 => (
                    c::freyja_get(db, here, 3, ptr::null_mut(), &mut length),
                    c::INVALID,
                ),
                5 => (
                    c::freyja_get(db, here, 3, &mut out, ptr::null_mut()),
                    c::INVALID,
                ),
                6 => (
                    c::freyja_get(db, here, usize::MAX, &mut out, &mut length),
                    c::TOO_LARGE,
                ),
                7 => (c::freyja_delete(db, null, 1), c::INVALID),
                8 => (
                    c::freyja_get_into(db, here, 3, ptr::null_mut(), 5, &mut length),
                    c::INVALID,
                ),
                9 => (c::freyja_count(db, ptr::null_mut()), c::INVALID),
                10 => {
                    let ends = [5_usize, 3];
                    let status = c::freyja_get_many(
                        db,
                        here,
                        ends.as_ptr(),
                        2,
                        &mut out,
                        [0; 2].as_mut_ptr(),
                        states.as_mut_ptr(),
                    );
                    (status, c::INVALID)
                }
                11 => {
                    let status = c::freyja_get_many(
                        db,
                        here,
                        ptr::null(),
                        usize::MAX,
                        &mut out,
                        ptr::null_mut(),
                        ptr::null_mut(),
                    );
                    (status, c::INVALID)
                }
                12 => {
                    let size = number as usize % 5000;
                    let status = c::freyja_stats(db, room.as_mut_ptr().cast(), size);
                    (status, if status == c::OK { c::OK } else { c::INVALID })
                }
                _ => {
                    let size = number as usize % 5000;
                    let status = c::freyja_locate(db, here, 3, room.as_mut_ptr().cast(), size);
                    let right = [c::OK, c::NOT_FOUND].contains(&status);
                    (status, if right { status } else { c::INVALID })
                }
            }
        };
        assert_eq!(status, expected);
        assert!(out.is_null());
    }

    fn others(&mut self, input: &mut Input<'_>) {
        let place = &self.places[input.byte() as usize % 2];
        let Some(db) = place.db else { return };
        // SAFETY: the handle is open, the pointers are valid.
        unsafe {
            assert_eq!(c::freyja_sync(db), c::OK);
            let mut error: c::Error = std::mem::zeroed();
            assert_eq!(c::freyja_failure(db, &mut error), c::NOT_FOUND);
            let mut count = u64::MAX;
            assert_eq!(c::freyja_count(db, &mut count), c::OK);
            assert_eq!(count, place.map.len() as u64);
        }
    }

    fn free(&mut self, input: &mut Input<'_>) {
        if !self.buffers.is_empty() {
            let number = input.byte() as usize % self.buffers.len();
            let buffer = self.buffers.swap_remove(number);
            // SAFETY: a buffer that was got, or NULL; freed once.
            unsafe { c::freyja_free_buf(buffer) };
        }
    }

    fn end(mut self) {
        self.end_pass();
        for number in 0..2 {
            self.close(number);
            self.close_reader(number);
            if self.is_real && self.places[number].exists {
                let _ = std::fs::remove_dir_all(self.path(number));
            }
        }
        // SAFETY: each is freed once, some after their store was closed, as is allowed.
        unsafe {
            for buffer in self.buffers {
                c::freyja_free_buf(buffer);
            }
            for handle in self.batches.iter().filter_map(|batch| batch.handle) {
                assert_eq!(c::freyja_batch_free(handle), c::OK);
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let mut world = World {
        is_real: choose_disk(data),
        ..World::default()
    };
    world.open(&mut input);
    while !input.is_empty() {
        match input.byte() % 24 {
            0 => world.open(&mut input),
            1 => world.close(input.0.len() % 2),
            2..=7 => world.write(&mut input),
            8..=10 => world.read(&mut input),
            11 => world.read_many(&mut input),
            12..=15 => world.batch(&mut input),
            16 => world.misuse_handles(&mut input),
            17 => world.misuse_arguments(&mut input),
            18 => world.others(&mut input),
            19 => world.compact(&mut input),
            20 => world.refresh(&mut input),
            21 | 22 => world.go_on(&mut input),
            _ => world.free(&mut input),
        }
    }
    world.end();
});

/// The changes in the form that freyja_write_packed takes.
fn pack(changes: &[(Vec<u8>, Option<Vec<u8>>)]) -> Vec<u8> {
    let mut packed = Vec::new();
    for (key, value) in changes {
        let flag = if value.is_none() {
            c::PACKED_DELETES
        } else {
            0
        };
        let value = value.as_deref().unwrap_or_default();
        packed.extend((key.len() as u32 | flag).to_le_bytes());
        packed.extend((value.len() as u32).to_le_bytes());
        packed.extend(key);
        packed.extend(value);
    }
    packed
}
