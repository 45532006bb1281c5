//! The first 128 bytes of a segment.

use std::fmt;
use std::path::Path;

use crate::error::{Error, ErrorKind};
use crate::log::little_endian::{read_u32, read_u64, write_u32, write_u64};
use crate::log::record::{MAX_SEQUENCE, SegmentContext};

/// Length of a segment's header in bytes; the first record begins here.
pub const HEADER_LEN: usize = 128;

/// The format version that this library writes, and the newest that it reads.
pub const FORMAT_VERSION: u16 = 1;

// A byte above 127, no text, and a line feed: a copy made in text mode changes at least one of them.
const MAGIC: [u8; 8] = *b"\x89FREYJA\n";
const CHECKSUM_CRC32: u8 = 1;
const KNOWN_INCOMPATIBLE_FEATURES: u32 = 0;

const VERSION_AT: usize = 8;
const CHECKSUM_ALGORITHM_AT: usize = 10;
const ORIGIN_AT: usize = 11;
const INCOMPATIBLE_AT: usize = 12;
const SALT_AT: usize = 20;
const STORE_ID_AT: usize = 24;
const SEGMENT_ID_AT: usize = 40;
const BASE_SEQUENCE_AT: usize = 48;
const PREDECESSOR_SEQUENCE_AT: usize = 56;
const DURABLE_SEQUENCE_AT: usize = 64;
const EXPIRED_UNTIL_AT: usize = 72;
const CHECKSUM_AT: usize = HEADER_LEN - 4;

/// Who wrote the records of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Puts and deletes, as they came: sequence numbers are consecutive from the base sequence on.
    Fresh,
    /// Compaction: records that survived, with the sequence numbers they had, strictly increasing.
    Compaction,
}

/// What a segment's header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Who wrote the records.
    pub origin: Origin,
    /// Drawn at random for each segment; part of every record's checksum.
    pub salt: u32,
    /// The store that the segment belongs to.
    pub store_id: [u8; 16],
    /// The segment's id, from 1 upwards, never reused within a store.
    pub segment_id: u64,
    /// No put or tombstone of the segment has a smaller sequence number; from 1 upwards.
    pub base_sequence: u64,
    /// The last sequence number of the commit order before the segment's first record.
    pub predecessor_sequence: u64,
    /// Every sequence number up to and including this one was durable when the header was written.
    pub durable_sequence: u64,
    /// Pairs with an expiry up to this moment, in milliseconds since 1970-01-01 UTC, have expired for good, whatever a clock
    /// says later; 0 if none had when the header was written.
    pub expired_until_ms: u64,
}

/// Why 128 bytes are not a header that this library can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFault {
    /// The file ends within the header.
    Truncated,
    /// Nothing but zeros: the file was created but its header never reached the disk.
    AllZeros,
    /// The bytes are not what was written.
    Invalid(&'static str),
    /// An intact header of a format that this library does not know. The file must not be modified.
    Newer {
        /// The format version that the header names.
        version: u16,
        /// Its incompatible features, of which at least one is unknown if the version is not.
        incompatible_features: u32,
    },
}

impl SegmentHeader {
    /// The header's form on disk.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..MAGIC.len()].copy_from_slice(&MAGIC);
        bytes[VERSION_AT..CHECKSUM_ALGORITHM_AT].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[CHECKSUM_ALGORITHM_AT] = CHECKSUM_CRC32;
        bytes[ORIGIN_AT] = match self.origin {
            Origin::Fresh => 1,
            Origin::Compaction => 2,
        };
        write_u32(&mut bytes, SALT_AT, self.salt);
        bytes[STORE_ID_AT..SEGMENT_ID_AT].copy_from_slice(&self.store_id);
        write_u64(&mut bytes, SEGMENT_ID_AT, self.segment_id);
        write_u64(&mut bytes, BASE_SEQUENCE_AT, self.base_sequence);
        write_u64(
            &mut bytes,
            PREDECESSOR_SEQUENCE_AT,
            self.predecessor_sequence,
        );
        write_u64(&mut bytes, DURABLE_SEQUENCE_AT, self.durable_sequence);
        write_u64(&mut bytes, EXPIRED_UNTIL_AT, self.expired_until_ms);
        let checksum = crc32fast::hash(&bytes[..CHECKSUM_AT]);
        write_u32(&mut bytes, CHECKSUM_AT, checksum);
        bytes
    }

    /// What the reading and writing of records needs of the header.
    pub fn context(&self) -> SegmentContext {
        SegmentContext {
            salt: self.salt,
            base_sequence: self.base_sequence,
        }
    }

    /// Reads a header back. The checksum's place and kind and the version's place are the same in every version
    /// of the format, so that damage is never taken for a newer version.
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, HeaderFault> {
        if bytes.iter().all(|&byte| byte == 0) {
            return Err(HeaderFault::AllZeros);
        }
        if bytes[..MAGIC.len()] != MAGIC {
            return Err(HeaderFault::Invalid("it does not begin as a segment does"));
        }
        if read_u32(bytes, CHECKSUM_AT) != crc32fast::hash(&bytes[..CHECKSUM_AT]) {
            return Err(HeaderFault::Invalid("its checksum does not match"));
        }
        let version = u16::from_le_bytes([bytes[VERSION_AT], bytes[VERSION_AT + 1]]);
        let incompatible_features = read_u32(bytes, INCOMPATIBLE_AT);
        let newer = HeaderFault::Newer {
            version,
            incompatible_features,
        };
        if version > FORMAT_VERSION
            || incompatible_features & !KNOWN_INCOMPATIBLE_FEATURES != 0
            || bytes[CHECKSUM_ALGORITHM_AT] != CHECKSUM_CRC32
        {
            return Err(newer);
        }
        let origin = match bytes[ORIGIN_AT] {
            1 => Origin::Fresh,
            2 => Origin::Compaction,
            _ => return Err(newer),
        };
        let mut store_id = [0; 16];
        store_id.copy_from_slice(&bytes[STORE_ID_AT..SEGMENT_ID_AT]);
        let header = Self {
            origin,
            salt: read_u32(bytes, SALT_AT),
            store_id,
            segment_id: read_u64(bytes, SEGMENT_ID_AT),
            base_sequence: read_u64(bytes, BASE_SEQUENCE_AT),
            predecessor_sequence: read_u64(bytes, PREDECESSOR_SEQUENCE_AT),
            durable_sequence: read_u64(bytes, DURABLE_SEQUENCE_AT),
            expired_until_ms: read_u64(bytes, EXPIRED_UNTIL_AT),
        };
        let sequences = 1..=MAX_SEQUENCE;
        if version == 0 || header.segment_id == 0 || !sequences.contains(&header.base_sequence) {
            return Err(HeaderFault::Invalid("a number in it is outside its range"));
        }
        Ok(header)
    }
}

impl HeaderFault {
    /// The fault as an error about the file `path`.
    pub fn into_error(self, path: &Path) -> Error {
        match self {
            Self::Newer { .. } => {
                let message = format!(
                    "{}: {self}; open the store with that version",
                    path.display()
                );
                Error::new(ErrorKind::Version, message)
            }
            _ => Error::corrupt(path, 0, self),
        }
    }
}

impl fmt::Display for HeaderFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => formatter.write_str("the file ends within the segment header"),
            Self::AllZeros => formatter.write_str("the segment header was never written"),
            Self::Invalid(why) => write!(formatter, "the segment header is damaged: {why}"),
            Self::Newer {
                version,
                incompatible_features,
            } => write!(
                formatter,
                "written by a newer version (format {version}, features {incompatible_features:#x})"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> SegmentHeader {
        SegmentHeader {
            origin: Origin::Fresh,
            salt: 0x0403_0201,
            store_id: *b"0123456789abcdef",
            segment_id: 7,
            base_sequence: 100,
            predecessor_sequence: 99,
            durable_sequence: 90,
            expired_until_ms: 1 << 41,
        }
    }

    fn with_valid_checksum(mut bytes: [u8; HEADER_LEN]) -> [u8; HEADER_LEN] {
        let checksum = crc32fast::hash(&bytes[..CHECKSUM_AT]);
        write_u32(&mut bytes, CHECKSUM_AT, checksum);
        bytes
    }

    #[test]
    fn a_header_reads_back_as_written() {
        for origin in [Origin::Fresh, Origin::Compaction] {
            let header = SegmentHeader {
                origin,
                ..example()
            };
            assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
        }
    }

    #[test]
    fn a_header_lies_on_disk_byte_for_byte_as_documented() {
        let mut expected = Vec::new();
        expected.extend(b"\x89FREYJA\x0a");
        expected.extend([1, 0, 1, 1]);
        expected.extend([0; 8]);
        expected.extend([1, 2, 3, 4]);
        expected.extend(b"0123456789abcdef");
        expected.extend([7, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([100, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([99, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([90, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([0, 0, 0, 0, 0, 2, 0, 0]);
        expected.extend([0; 44]);
        let checksum = crc32fast::hash(&expected);
        expected.extend(checksum.to_le_bytes());
        assert_eq!(example().encode().as_slice(), expected);
    }

    #[test]
    fn every_flipped_bit_is_noticed_and_never_taken_for_a_newer_version() {
        let intact = example().encode();
        for bit in 0..HEADER_LEN * 8 {
            let mut bytes = intact;
            bytes[bit / 8] ^= 1 << (bit % 8);
            let fault = SegmentHeader::decode(&bytes);
            assert!(matches!(fault, Err(HeaderFault::Invalid(_))), "bit {bit}");
        }
    }

    #[test]
    fn zeros_are_told_from_damage() {
        let mut bytes = [0; HEADER_LEN];
        assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderFault::AllZeros));
        bytes[127] = 1;
        let fault = SegmentHeader::decode(&bytes);
        assert!(matches!(fault, Err(HeaderFault::Invalid(_))));
    }

    #[test]
    fn newer_formats_are_refused_as_newer_and_compatible_features_are_accepted() {
        for (position, value) in [
            (VERSION_AT, 2),
            (CHECKSUM_ALGORITHM_AT, 2),
            (ORIGIN_AT, 3),
            (INCOMPATIBLE_AT + 3, 0x80),
        ] {
            let mut bytes = example().encode();
            bytes[position] = value;
            let fault = SegmentHeader::decode(&with_valid_checksum(bytes)).unwrap_err();
            assert!(matches!(fault, HeaderFault::Newer { .. }), "{position}");
            let error = fault.into_error(Path::new("store/0000000000000007.seg"));
            assert_eq!(error.kind(), ErrorKind::Version);
            assert!(error.message().contains("0000000000000007.seg"));
        }
        let mut bytes = example().encode();
        bytes[16..20].fill(0xff);
        bytes[80..124].fill(0xff);
        assert_eq!(
            SegmentHeader::decode(&with_valid_checksum(bytes)),
            Ok(example())
        );
    }

    #[test]
    fn versions_and_numbers_that_never_existed_are_damage() {
        for position in [VERSION_AT, SEGMENT_ID_AT, BASE_SEQUENCE_AT] {
            let mut bytes = example().encode();
            bytes[position] = 0;
            let fault = SegmentHeader::decode(&with_valid_checksum(bytes));
            assert!(matches!(fault, Err(HeaderFault::Invalid(_))));
        }
        let mut bytes = example().encode();
        bytes[BASE_SEQUENCE_AT + 7] = 0x80;
        let fault = SegmentHeader::decode(&with_valid_checksum(bytes));
        assert!(matches!(fault, Err(HeaderFault::Invalid(_))));
    }
}
