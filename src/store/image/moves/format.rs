//! The bytes of a list of moves besides its items. `docs/format.md` describes them under "A list of moves".

use crate::log::little_endian::{read_u32, read_u64, write_u32, write_u64};

/// Length of the header.
pub const HEADER_LEN: usize = 64;
/// Length of what is said of each replaced segment.
pub const SOURCE_LEN: usize = 12;
/// Length of the trailer, which ends the file.
pub const TRAILER_LEN: usize = 12;

const MAGIC: [u8; 8] = *b"\x89FREYMV\n";
const FORMAT_VERSION: u16 = 1;
const CHECKSUM_CRC32: u8 = 1;

/// A segment by what no other has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentName {
    /// Its id.
    pub id: u64,
    /// The salt in its header.
    pub salt: u32,
}

/// The beginning of the list of what was moved into `output` from so many segments, of the store `store_id`.
pub fn encode_header(store_id: &[u8; 16], output: SegmentName, sources: usize) -> [u8; HEADER_LEN] {
    let mut bytes = [0; HEADER_LEN];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes[10] = CHECKSUM_CRC32;
    bytes[16..32].copy_from_slice(store_id);
    write_u64(&mut bytes, 32, output.id);
    write_u32(&mut bytes, 40, output.salt);
    write_u32(&mut bytes, 44, sources as u32);
    bytes
}

/// What a header says: the output, and how many segments it replaces; `None` if it is none of a list of the store `store_id`.
pub fn decode_header(
    bytes: &[u8; HEADER_LEN],
    store_id: &[u8; 16],
) -> Option<(SegmentName, usize)> {
    let [low, high] = FORMAT_VERSION.to_le_bytes();
    let is_known = bytes[..8] == MAGIC && bytes[8..11] == [low, high, CHECKSUM_CRC32];
    let output = SegmentName {
        id: read_u64(bytes, 32),
        salt: read_u32(bytes, 40),
    };
    let sources = read_u32(bytes, 44) as usize;
    (is_known && bytes[16..32] == *store_id).then_some((output, sources))
}

/// What is said of a replaced segment.
pub fn encode_source(source: SegmentName) -> [u8; SOURCE_LEN] {
    let mut bytes = [0; SOURCE_LEN];
    write_u64(&mut bytes, 0, source.id);
    write_u32(&mut bytes, 8, source.salt);
    bytes
}

/// The replaced segment of which `bytes` speak.
pub fn decode_source(bytes: &[u8; SOURCE_LEN]) -> SegmentName {
    SegmentName {
        id: read_u64(bytes, 0),
        salt: read_u32(bytes, 8),
    }
}

/// The end of a list, but for the checksum of all before: the bytes of tombstones in the output.
pub fn encode_end(tombstone_bytes: u64) -> [u8; 8] {
    tombstone_bytes.to_le_bytes()
}

/// The bytes of tombstones, if the last four of `bytes` are the checksum of all before.
pub fn decode_trailer(bytes: &[u8]) -> Option<u64> {
    let (content, checksum) = bytes.split_last_chunk::<4>()?;
    let (_, end) = content.split_last_chunk::<8>()?;
    let intact = crc32fast::hash(content) == u32::from_le_bytes(*checksum);
    intact.then_some(u64::from_le_bytes(*end))
}
