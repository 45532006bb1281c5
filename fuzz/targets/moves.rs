//! Changed bytes of a list of moves, beside the image that is to be followed.
#![no_main]

use std::sync::OnceLock;

use freyja_fuzz::caches::{Base, set_checksum};
use libfuzzer_sys::fuzz_target;

fn mend(bytes: &mut [u8]) {
    if let Some(content) = bytes.len().checked_sub(4) {
        set_checksum(bytes, 0..content, content);
    }
}

fuzz_target!(|data: &[u8]| {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| Base::new(".moves", true, mend))
        .try_changes(data);
});
