//! The least that any store with an index in memory and a log in a mapped file can do: a load from a table, a load from the log that
//! waits for it, a copy. It checks nothing but keys, locks nothing, knows nothing of failures, and forgets everything when it is closed.

use std::fs::OpenOptions;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::ptr::null_mut;
use std::sync::{Mutex, MutexGuard};

use super::{Absent, Durability, Engine, Kind, Opened, Opening, Session};
use crate::pairs::KEY_LEN;

/// The bare table.
pub const KIND: Kind = Kind {
    name: "bare table",
    options: "no store, but the least that one does: a table of 8 B a slot, two slots a pair, and the pairs in a mapped file, both in pages of 2 MiB; without checksums, locks, growth, reuse of space, or a way to open it again",
    open,
    answers: true,
    is_store: false,
    has_more: false,
};

/// Bytes before a key: the value's length.
const HEAD: usize = 8;
/// Bits of a slot that say where a pair begins, from 1 on; the others are the key's tag.
const PLACE_BITS: u32 = 44;
const PLACE: u64 = (1 << PLACE_BITS) - 1;
/// So many times the bytes of all pairs can be appended: all workloads together put three times as many.
const ROOM: u64 = 4;

/// Locked by a session for as long as that lives, so that no operation pays for it.
struct Bare {
    inside: Mutex<Inside>,
}

struct Inside {
    slots: &'static mut [u64],
    log: &'static mut [u8],
    end: usize,
}

fn open(directory: &Path, opening: &Opening) -> Opened {
    if opening.durability == Durability::Synced {
        return Err(Absent("it has no mode that syncs".to_owned()));
    }
    std::fs::create_dir_all(directory).expect("the directory can be made");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(directory.join("log"))
        .expect("a file can be made");
    let length = ROOM * (opening.raw_bytes() + HEAD as u64 * opening.pairs).max(1 << 20);
    let free = rustix::fs::fstatvfs(&file).expect("the file system tells how full it is");
    if free.f_bavail * free.f_frsize < length {
        return Err(Absent(format!("it wants {} MiB of disk", length >> 20)));
    }
    file.set_len(length).expect("the file can be long");
    let slots = 2 * opening.pairs.max(1 << 10) as usize;
    // SAFETY: zeros are numbers, and the mapping is as long.
    let slots = unsafe {
        let start = map(8 * slots, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1);
        std::slice::from_raw_parts_mut(start.cast::<u64>(), slots)
    };
    slots.fill(0);
    // SAFETY: the file is as long, and nobody else writes to it.
    let log = unsafe {
        let start = map(length as usize, libc::MAP_SHARED, file.as_raw_fd());
        std::slice::from_raw_parts_mut(start, length as usize)
    };
    let inside = Mutex::new(Inside { slots, log, end: 0 });
    Ok(Box::new(Bare { inside }))
}

/// Maps memory, in large pages where there are any; it is never given back.
fn map(length: usize, kind: i32, file: i32) -> *mut u8 {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping.
    unsafe {
        let start = libc::mmap(null_mut(), length, protection, kind, file, 0);
        assert_ne!(start, libc::MAP_FAILED, "there is no memory");
        libc::madvise(start, length, libc::MADV_HUGEPAGE);
        start.cast()
    }
}

impl Engine for Bare {
    fn session(&self) -> Box<dyn Session + '_> {
        Box::new(BareSession {
            inside: self.inside.try_lock().expect("it has one session"),
            value: vec![0; 8192],
        })
    }

    fn version(&self) -> String {
        String::new()
    }

    fn close(self: Box<Self>) {}
}

struct BareSession<'e> {
    inside: MutexGuard<'e, Inside>,
    value: Vec<u8>,
}

impl Inside {
    /// Number of the slot that has `key`, or else of the one where it would be.
    #[inline]
    fn slot(&self, key: &[u8]) -> (usize, u64) {
        let [first, second] = [0, 8].map(|at| {
            let word = key[at..at + 8].try_into().expect("eight bytes");
            u64::from_le_bytes(word)
        });
        let hash = (first ^ second.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let tag = hash << PLACE_BITS;
        let mut at = ((u128::from(hash) * self.slots.len() as u128) >> 64) as usize;
        loop {
            let slot = self.slots[at];
            if slot == 0 || (slot & !PLACE == tag && self.key(slot) == key) {
                return (at, tag);
            }
            at = (at + 1) % self.slots.len();
        }
    }

    #[inline]
    fn key(&self, slot: u64) -> &[u8] {
        let start = (slot & PLACE) as usize - 1 + HEAD;
        &self.log[start..start + KEY_LEN]
    }

    #[inline]
    fn value(&self, start: usize) -> &[u8] {
        let head = self.log[start..start + HEAD].try_into();
        let length = u64::from_le_bytes(head.expect("eight bytes")) as usize;
        &self.log[start + HEAD + KEY_LEN..][..length]
    }
}

impl Session for BareSession<'_> {
    #[inline]
    fn put(&mut self, key: &[u8], value: &[u8]) {
        let inside = &mut *self.inside;
        let (at, tag) = inside.slot(key);
        let start = inside.end;
        inside.end += HEAD + KEY_LEN + value.len();
        let record = &mut inside.log[start..inside.end];
        record[..HEAD].copy_from_slice(&(value.len() as u64).to_le_bytes());
        record[HEAD..HEAD + KEY_LEN].copy_from_slice(key);
        record[HEAD + KEY_LEN..].copy_from_slice(value);
        inside.slots[at] = tag | (start as u64 + 1);
    }

    #[inline]
    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> bool {
        let slot = self.inside.slots[self.inside.slot(key).0];
        if slot == 0 {
            return false;
        }
        let value = self.inside.value((slot & PLACE) as usize - 1);
        let copy = &mut self.value[..value.len()];
        copy.copy_from_slice(value);
        see(copy);
        true
    }

    fn scan(&mut self, see: &mut dyn FnMut(&[u8], &[u8])) {
        let mut start = 0;
        while start < self.inside.end {
            let value = self.inside.value(start);
            let key = &self.inside.log[start + HEAD..][..KEY_LEN];
            let (at, tag) = self.inside.slot(key);
            if self.inside.slots[at] == tag | (start as u64 + 1) {
                see(key, value);
            }
            start += HEAD + KEY_LEN + value.len();
        }
    }
}
