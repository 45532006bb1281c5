//! Changed bytes of an index image.
#![no_main]

use std::sync::OnceLock;

use freyja_fuzz::caches::{Base, set_checksum};
use libfuzzer_sys::fuzz_target;

const TRAILER: usize = 32;
/// Of the directory: what is said of a segment, and of a shard.
const SEGMENT: usize = 48;
const SHARD: usize = 48;

fn number(bytes: &[u8], at: usize) -> usize {
    let bytes = bytes
        .get(at..at + 8)
        .map_or([0; 8], |it| it.try_into().unwrap());
    usize::try_from(u64::from_le_bytes(bytes)).unwrap()
}

/// Gives everything the checksum that it should have.
fn mend(bytes: &mut [u8]) {
    if bytes.len() < 64 + TRAILER {
        return;
    }
    set_checksum(bytes, 0..60, 60);
    let trailer = bytes.len() - TRAILER;
    let (directory, length) = (number(bytes, trailer), number(bytes, trailer + 8));
    let counts = bytes.get(directory.saturating_add(24)..directory.saturating_add(32));
    let counts = counts.map_or([0; 8], |it| it.try_into().unwrap());
    let segments = u32::from_le_bytes([counts[0], counts[1], counts[2], counts[3]]) as usize;
    let shards = u32::from_le_bytes([counts[4], counts[5], counts[6], counts[7]]) as usize;
    for shard in 0..shards.min(8) {
        let at = directory.saturating_add(32 + segments.saturating_mul(SEGMENT) + shard * SHARD);
        if at.checked_add(SHARD).is_some_and(|end| end <= bytes.len()) {
            let (start, length) = (number(bytes, at + 16), number(bytes, at + 24));
            set_checksum(bytes, start..start.saturating_add(length), at + 12);
        }
    }
    set_checksum(
        bytes,
        directory..directory.saturating_add(length),
        trailer + 16,
    );
    set_checksum(bytes, trailer..trailer + 20, trailer + 20);
}

fuzz_target!(|data: &[u8]| {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| Base::new(".img", false, mend))
        .try_changes(data);
});
