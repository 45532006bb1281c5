use super::*;
use crate::error::ErrorKind;
use crate::log::record::Fields;
use crate::log::segment_header::SegmentHeader;
use crate::log::test_files::{TestDisk, WAYS, Way, header, put};
use crate::log::{OpenedSegment, ReadMode, SegmentWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Said = (u64, Kind, u64, Vec<u8>);

fn create(disk: &TestDisk, way: Way) -> (SegmentWriter, Arc<Segment>) {
    disk.create(&header(), 1 << 20, way).unwrap()
}

/// A sealed segment of `records` records with values of `value_len` bytes, its file, and what its hints should say.
fn sealed(disk: &TestDisk, way: Way, records: u64, value_len: usize) -> (PathBuf, Vec<Said>) {
    let (mut writer, segment) = create(disk, way);
    let first: u64 = header().base_sequence;
    let value = vec![9; value_len];
    let mut said = Vec::new();
    for number in 0..records {
        let key = vec![b'k'; (number * 37 % 300) as usize];
        let fields = put(first + number, &key, &value);
        let fields = match number % 5 {
            4 => Fields {
                kind: Kind::Tombstone,
                value: b"",
                ..fields
            },
            3 => Fields {
                expires_at_ms: Some(number),
                ..fields
            },
            _ => fields,
        };
        let offset = writer.append(&fields).unwrap();
        said.push((offset, fields.kind, first + number, key));
        if number % 7 == 0 {
            assert!(writer.append_mark(first + number).unwrap());
        }
    }
    writer.seal(records).unwrap();
    (segment.path().into(), said)
}

fn open(disk: &TestDisk, path: &Path) -> (Arc<Segment>, Footer) {
    match Segment::open(disk, path, ReadMode::Pread).unwrap() {
        OpenedSegment::Sealed {
            segment, footer, ..
        } => (segment, footer),
        _ => panic!("the segment is sealed"),
    }
}

fn all(hints: Hints<'_>) -> Vec<Said> {
    let owned = |hint: Hint<'_>| (hint.offset, hint.kind, hint.sequence, hint.key.to_vec());
    hints.map(owned).collect()
}

#[test]
fn hints_say_where_every_record_lies() {
    for way in WAYS {
        let disk = TestDisk::new(way);
        let (path, said) = sealed(&disk, way, 200, 3000);
        let (segment, footer) = open(&disk, &path);
        let mut scratch = Vec::new();
        let hints = read(&segment, &footer, &mut scratch).unwrap();
        assert_eq!(all(hints.expect("large values deserve hints")), said);
        let (hints, records) = (footer.offset - footer.records_end(), footer.records_end());
        assert!(hints * LARGEST_PART <= records, "{hints} of {records}");
        let mut key = Vec::new();
        for (offset, kind, sequence, said) in said {
            let head = segment.head_at(offset).unwrap();
            assert_eq!((head.kind, head.sequence), (kind, sequence));
            assert_eq!(segment.key_at(offset, &mut key).unwrap(), said);
        }
    }
}

#[test]
fn there_are_no_hints_where_they_would_not_be_small() {
    for (records, value_len) in [(0, 0), (500, 100), (500, 800)] {
        let disk = TestDisk::new(WAYS[0]);
        let (path, _) = sealed(&disk, WAYS[0], records, value_len);
        let (segment, footer) = open(&disk, &path);
        assert_eq!(footer.hints_at, None);
        assert!(read(&segment, &footer, &mut Vec::new()).unwrap().is_none());
    }
    // Nor where the keys are what is large.
    let disk = TestDisk::new(WAYS[0]);
    let (mut writer, segment) = create(&disk, WAYS[0]);
    let first = header().base_sequence;
    for number in 0..10 {
        let fields = put(first + number, &[7; 5000], b"");
        writer.append(&fields).unwrap();
    }
    writer.seal(1).unwrap();
    assert_eq!(open(&disk, segment.path()).1.hints_at, None);
}

#[test]
fn whatever_happens_to_hints_is_noticed() {
    let disk = TestDisk::new(WAYS[0]);
    let (path, _) = sealed(&disk, WAYS[0], 20, 3000);
    let intact = disk.read(&path);
    let (_, footer) = open(&disk, &path);
    let hints = footer.records_end() as usize..footer.offset as usize;
    let length = {
        let (segment, _) = open(&disk, &path);
        let bytes = &intact[hints.clone()];
        let head = record::decode_head(bytes, bytes.len() as u64, segment.context()).unwrap();
        head.unpadded_len()
    };
    for bit in (0..length * 8).step_by(37).chain(0..16 * 8) {
        let mut bytes = intact.clone();
        bytes[hints.start + bit / 8] ^= 1 << (bit % 8);
        disk.write(&path, &bytes);
        let (segment, footer) = open(&disk, &path);
        let error = read(&segment, &footer, &mut Vec::new()).err();
        assert_eq!(error.unwrap().kind(), ErrorKind::Corrupt, "bit {bit}");
    }
    for zeroed in [1, length / 2, length - 1] {
        let mut bytes = intact.clone();
        bytes[hints.start + zeroed..hints.end].fill(0);
        disk.write(&path, &bytes);
        let (segment, footer) = open(&disk, &path);
        assert!(read(&segment, &footer, &mut Vec::new()).is_err());
    }
}

/// A sealed segment whose hints are `hints`, with checksums that are right.
fn with_hints(disk: &TestDisk, hints: &[u8]) -> (Arc<Segment>, Footer) {
    let (path, _) = sealed(disk, WAYS[0], 3, 3000);
    let mut bytes = disk.read(&path);
    let (segment, footer) = open(disk, &path);
    bytes.truncate(footer.records_end() as usize);
    let header: &SegmentHeader = segment.header();
    let context = header.context();
    let start = bytes.len() as u64;
    let fields = Fields {
        kind: Kind::Hints,
        ..put(context.base_sequence, b"", hints)
    };
    let head = record::encode_head(&fields, start, &context).unwrap();
    bytes.extend_from_slice(head.as_bytes());
    bytes.extend_from_slice(hints);
    bytes.resize(bytes.len().next_multiple_of(16), 0);
    let footer = Footer {
        offset: bytes.len() as u64,
        ..footer
    };
    bytes.extend(footer.encode(&context).unwrap());
    disk.write(&path, &bytes);
    open(disk, &path)
}

#[test]
fn hints_that_do_not_fit_the_segment_are_refused_though_their_checksum_is_right() {
    let disk = TestDisk::new(WAYS[0]);
    let (path, said) = sealed(&disk, WAYS[0], 3, 3000);
    let (segment, footer) = open(&disk, &path);
    let mut scratch = Vec::new();
    let right = read(&segment, &footer, &mut scratch).unwrap().unwrap();
    let right = right.bytes.to_vec();
    let check = |hints: &[u8]| {
        let disk = TestDisk::new(WAYS[0]);
        let (segment, footer) = with_hints(&disk, hints);
        let mut scratch = Vec::new();
        read(&segment, &footer, &mut scratch).map(|hints| hints.map(all))
    };
    assert_eq!(check(&right).unwrap().unwrap(), said);
    let mut wrong: Vec<Vec<u8>> = (0..right.len()).map(|len| right[..len].to_vec()).collect();
    wrong.push([&right[..], &[0]].concat());
    // One record more than there is, in a place that there is.
    wrong.push([&right[..], &[2, 0, 0]].concat());
    // The first record in the header; beyond the end; at a place beyond all numbers; out of its place.
    for (at, number) in [(0, 14_u64), (0, 1 << 20), (0, u64::MAX), (0, 0)] {
        let mut bytes = vec![0; 10];
        let mut len = 0;
        varint::write(&mut bytes, &mut len, number);
        let mut position = at;
        varint::read(&right, &mut position).unwrap();
        wrong.push([&bytes[..len], &right[position..]].concat());
    }
    // A sequence number that is missing; a key that is longer than the bytes; one kind for the other.
    for (at, byte) in [(1, 1_u8), (2, 0x7f), (0, right[0] ^ 1)] {
        let mut bytes = right.clone();
        bytes[at] = byte;
        wrong.push(bytes);
    }
    for hints in wrong {
        let error = check(&hints).expect_err("these hints are wrong");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{hints:?}");
    }
}
