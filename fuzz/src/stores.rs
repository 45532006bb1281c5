//! Stores on simulated disks to begin with, and checksums for bytes that a fuzzer has changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use freyja::log::record::{SegmentContext, decode_head};
use freyja::log::segment_header::{HEADER_LEN, Origin, SegmentHeader};
use freyja::log::segment_name;
use freyja::store::{OpenMode, Options, ReadMode, Store, SyncMode};
use freyja::vfs::SimulatedDisk;

pub const STORE: &str = "/store";

/// The path of a segment.
pub fn segment(id: u64) -> PathBuf {
    Path::new(STORE).join(segment_name::file_name(id))
}

/// The header of a segment that a fuzzer fills.
pub fn header(base_sequence: u64) -> SegmentHeader {
    SegmentHeader {
        origin: Origin::Fresh,
        salt: 0x1234_5678,
        store_id: [7; 16],
        segment_id: 1,
        base_sequence,
        predecessor_sequence: base_sequence - 1,
        durable_sequence: 0,
        expired_until_ms: 0,
    }
}

/// Gives whatever looks like a record, from byte 128 on, its right checksum, unless the one that it has is odd: without
/// this a fuzzer never gets past the first.
pub fn mend_checksums(bytes: &mut [u8], context: &SegmentContext) {
    let mut offset = HEADER_LEN;
    while offset < bytes.len() {
        let rest = &mut bytes[offset..];
        let head = decode_head(rest, rest.len() as u64, context);
        let Some(head) = head.ok().filter(|_| rest[0] % 2 == 0) else {
            offset += 16;
            continue;
        };
        let mut hasher = freyja::log::record::start_checksum(context.salt, offset as u64);
        hasher.update(&rest[4..head.unpadded_len()]);
        rest[..4].copy_from_slice(&hasher.finalize().to_le_bytes());
        offset += head.total_len as usize;
    }
}

/// Small segments, no threads.
pub fn options(read_mode: ReadMode, mode: OpenMode) -> Options {
    Options {
        mode,
        read_mode,
        sync_mode: SyncMode::None,
        background_threads: 0,
        segment_size: 4096,
        ..Options::default()
    }
}

pub fn open(disk: &SimulatedDisk, options: &Options) -> freyja::Result<Store> {
    Store::open_on(Arc::new(disk.clone()), Path::new(STORE), options)
}
