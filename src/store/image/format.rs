//! The bytes of an image besides its shards: header, directory, trailer.

use super::fault::ImageFault;
use crate::error::Result;
use crate::index::image::ShardSummary;
use crate::log::little_endian::{read_u32, read_u64, write_u32, write_u64};
use crate::memory::scratch::Scratch;
use crate::store::live_segment::Dead;

/// Length of the header; the first shard begins here.
pub const HEADER_LEN: usize = 64;
/// Length of the trailer, which ends the file.
pub const TRAILER_LEN: usize = 32;

const MAGIC: [u8; 8] = *b"\x89FREYIM\n";
const END_MAGIC: [u8; 8] = *b"FREYIME\x89";
const FORMAT_VERSION: u16 = 3;
const CHECKSUM_CRC32: u8 = 1;
const HASH_RAPIDHASH_V3: u8 = 1;

const STATE_LEN: usize = 32;
const SEGMENT_LEN: usize = 48;
const SHARD_LEN: usize = 48;

/// A segment as an image knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageSegment {
    /// The segment's id.
    pub id: u64,
    /// The salt in its header.
    pub salt: u32,
    /// Where it begins in the location space.
    pub first_chunk: u32,
    /// Where its last record ended: no location in the image lies behind that.
    pub length: u64,
    /// What of it was dead.
    pub dead: Dead,
}

/// A shard as an image holds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageShard {
    /// What it amounts to.
    pub summary: ShardSummary,
    /// CRC-32 of its bytes.
    pub checksum: u32,
    /// Where its bytes begin in the file.
    pub offset: u64,
    /// How many they are.
    pub length: u64,
}

/// Everything in an image but the shards' content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// Every record up to this sequence number is accounted for.
    pub covered_sequence: u64,
    /// No record with a higher sequence number is referred to.
    pub newest_sequence: u64,
    /// Seed of the hash function.
    pub seed: u64,
    /// In the order of their ids.
    pub segments: Vec<ImageSegment>,
    /// In the order of their hashes.
    pub shards: Vec<ImageShard>,
}

/// What a trailer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Where the directory begins.
    pub offset: u64,
    /// Length of the directory, which ends where the trailer begins.
    pub length: u64,
    checksum: u32,
}

/// The header of an image of the store `store_id`.
pub fn encode_header(store_id: &[u8; 16]) -> [u8; HEADER_LEN] {
    let mut bytes = [0; HEADER_LEN];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes[10] = CHECKSUM_CRC32;
    bytes[11] = HASH_RAPIDHASH_V3;
    bytes[16..32].copy_from_slice(store_id);
    let checksum = crc32fast::hash(&bytes[..HEADER_LEN - 4]);
    write_u32(&mut bytes, HEADER_LEN - 4, checksum);
    bytes
}

/// Checks that a header is one of an image that can be used for `store_id`.
pub fn check_header(
    bytes: &[u8; HEADER_LEN],
    store_id: &[u8; 16],
) -> std::result::Result<(), ImageFault> {
    let checksum = crc32fast::hash(&bytes[..HEADER_LEN - 4]);
    if bytes[..8] != MAGIC || read_u32(bytes, HEADER_LEN - 4) != checksum {
        return Err(ImageFault::Damaged);
    }
    let [low, high] = FORMAT_VERSION.to_le_bytes();
    if bytes[8..12] != [low, high, CHECKSUM_CRC32, HASH_RAPIDHASH_V3] {
        return Err(ImageFault::Version);
    }
    if bytes[16..32] != *store_id {
        return Err(ImageFault::OtherStore);
    }
    Ok(())
}

/// The trailer behind `directory`, which begins at `offset`.
pub fn encode_trailer(directory: &[u8], offset: u64) -> [u8; TRAILER_LEN] {
    let mut bytes = [0; TRAILER_LEN];
    write_u64(&mut bytes, 0, offset);
    write_u64(&mut bytes, 8, directory.len() as u64);
    write_u32(&mut bytes, 16, crc32fast::hash(directory));
    let checksum = crc32fast::hash(&bytes[..20]);
    write_u32(&mut bytes, 20, checksum);
    bytes[24..].copy_from_slice(&END_MAGIC);
    bytes
}

/// Reads the trailer of a file of `file_length` bytes.
pub fn decode_trailer(bytes: &[u8; TRAILER_LEN], file_length: u64) -> Option<Trailer> {
    let trailer = Trailer {
        offset: read_u64(bytes, 0),
        length: read_u64(bytes, 8),
        checksum: read_u32(bytes, 16),
    };
    let intact = read_u32(bytes, 20) == crc32fast::hash(&bytes[..20]) && bytes[24..] == END_MAGIC;
    let end = trailer.offset.checked_add(trailer.length)?;
    let fits = trailer.offset >= HEADER_LEN as u64
        && end.checked_add(TRAILER_LEN as u64) == Some(file_length);
    (intact && fits).then_some(trailer)
}

impl Directory {
    /// The directory's form on disk. Errors: `Memory`.
    pub fn encode(&self) -> Result<Scratch> {
        let length = STATE_LEN + self.segments.len() * SEGMENT_LEN + self.shards.len() * SHARD_LEN;
        let mut bytes = Scratch::default();
        let what = "the directory of an index image";
        bytes.reserve(length, what)?;
        let mut add = |number: u64| bytes.append(&number.to_le_bytes(), what);
        let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        add(self.covered_sequence)?;
        add(self.newest_sequence)?;
        add(self.seed)?;
        add(pair(self.segments.len() as u32, self.shards.len() as u32))?;
        for segment in &self.segments {
            add(segment.id)?;
            add(pair(segment.salt, segment.first_chunk))?;
            add(segment.length)?;
            add(segment.dead.put_bytes)?;
            add(segment.dead.puts)?;
            add(segment.dead.tombstone_bytes)?;
        }
        for shard in &self.shards {
            add(shard.summary.first_hash)?;
            add(pair(shard.summary.depth, shard.checksum))?;
            add(shard.offset)?;
            add(shard.length)?;
            add(shard.summary.keys)?;
            add(shard.summary.key_bytes)?;
        }
        Ok(bytes)
    }

    /// Reads the directory back; `None` if the bytes are not what `trailer` speaks of, or are no directory.
    pub fn decode(bytes: &[u8], trailer: &Trailer) -> Option<Self> {
        if bytes.len() < STATE_LEN || crc32fast::hash(bytes) != trailer.checksum {
            return None;
        }
        let (segments, shards) = (read_u32(bytes, 24) as usize, read_u32(bytes, 28) as usize);
        let length = STATE_LEN as u64
            + segments as u64 * SEGMENT_LEN as u64
            + shards as u64 * SHARD_LEN as u64;
        if bytes.len() as u64 != length {
            return None;
        }
        let (segment_bytes, shard_bytes) = bytes[STATE_LEN..].split_at(segments * SEGMENT_LEN);
        let mut directory = Self {
            covered_sequence: read_u64(bytes, 0),
            newest_sequence: read_u64(bytes, 8),
            seed: read_u64(bytes, 16),
            ..Self::default()
        };
        directory.segments.try_reserve_exact(segments).ok()?;
        directory.shards.try_reserve_exact(shards).ok()?;
        for bytes in segment_bytes.chunks_exact(SEGMENT_LEN) {
            let segment = ImageSegment {
                id: read_u64(bytes, 0),
                salt: read_u32(bytes, 8),
                first_chunk: read_u32(bytes, 12),
                length: read_u64(bytes, 16),
                dead: Dead {
                    put_bytes: read_u64(bytes, 24),
                    puts: read_u64(bytes, 32),
                    tombstone_bytes: read_u64(bytes, 40),
                },
            };
            // Sums over all segments must not overflow.
            let most = segment.length;
            let dead = &segment.dead;
            if most >= 1 << 48 || dead.put_bytes.max(dead.puts).max(dead.tombstone_bytes) > most {
                return None;
            }
            directory.segments.push(segment);
        }
        for bytes in shard_bytes.chunks_exact(SHARD_LEN) {
            let shard = ImageShard {
                summary: ShardSummary {
                    first_hash: read_u64(bytes, 0),
                    depth: read_u32(bytes, 8),
                    keys: read_u64(bytes, 32),
                    key_bytes: read_u64(bytes, 40),
                },
                checksum: read_u32(bytes, 12),
                offset: read_u64(bytes, 16),
                length: read_u64(bytes, 24),
            };
            // Sums over all shards must not overflow. That of the bytes of keys is taken modulo 2^64.
            let small = |number: u64| number < 1 << 32;
            let end = shard.offset.checked_add(shard.length);
            if end.is_none_or(|end| end > trailer.offset)
                || !small(shard.summary.keys)
                || !small(shard.length)
            {
                return None;
            }
            directory.shards.push(shard);
        }
        Some(directory)
    }
}
