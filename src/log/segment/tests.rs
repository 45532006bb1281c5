use super::*;
use crate::log::SegmentWriter;
use crate::log::record::Kind;
use crate::log::test_files::{TestDisk, WAYS, Way, header, put, readable};

const MODES: [ReadMode; 2] = [ReadMode::Mapped, ReadMode::Pread];
const WAY: Way = WAYS[0];

/// A sealed segment with three puts at the offsets returned, and its file's bytes.
fn sealed(disk: &TestDisk) -> (PathBuf, Vec<u64>, Vec<u8>) {
    let (mut writer, segment): (SegmentWriter, _) = disk.create(&header(), 1 << 20, WAY).unwrap();
    let values: [&[u8]; 3] = [b"one", b"", &[7; 2000]];
    let append =
        |(number, value): (u64, &&[u8])| writer.append(&put(100 + number, b"key", value)).unwrap();
    let offsets = (0..).zip(&values).map(append).collect();
    writer.seal(2).unwrap();
    let bytes = disk.read(segment.path());
    (segment.path().into(), offsets, bytes)
}

fn open(disk: &TestDisk, path: &Path, mode: ReadMode) -> OpenedSegment {
    Segment::open(disk, path, mode).unwrap()
}

#[test]
fn a_damaged_header_is_replaced_by_the_footers_copy_and_reported() {
    for mode in MODES {
        let disk = TestDisk::new(WAY);
        let (path, offsets, intact) = sealed(&disk);
        for damage in [0..1, 0..128, 20..24, 127..128] {
            let mut bytes = intact.clone();
            for byte in &mut bytes[damage] {
                *byte ^= 0x55;
            }
            disk.write(&path, &bytes);
            let OpenedSegment::Sealed {
                segment,
                header_damage: Some(error),
                ..
            } = open(&disk, &path, mode)
            else {
                panic!("not reported");
            };
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert_eq!(*segment.header(), header());
            let mut scratch = Vec::new();
            segment
                .record(offsets[2], &mut scratch)
                .unwrap()
                .verify()
                .unwrap();
        }
    }
}

#[test]
fn a_file_cut_or_damaged_at_its_end_is_not_sealed() {
    for mode in MODES {
        let disk = TestDisk::new(WAY);
        let (path, _, intact) = sealed(&disk);
        for len in HEADER_LEN..intact.len() {
            disk.write(&path, &intact[..len]);
            assert!(
                matches!(open(&disk, &path, mode), OpenedSegment::Unsealed { .. }),
                "cut to {len}"
            );
        }
        for position in intact.len() - FOOTER_LEN..intact.len() {
            let mut bytes = intact.clone();
            bytes[position] ^= 1;
            disk.write(&path, &bytes);
            assert!(
                matches!(open(&disk, &path, mode), OpenedSegment::Unsealed { .. }),
                "byte {position}"
            );
        }
        for behind in 1..40 {
            let bytes = [&intact[..], &vec![0; behind]].concat();
            disk.write(&path, &bytes);
            assert!(
                matches!(open(&disk, &path, mode), OpenedSegment::Unsealed { .. }),
                "{behind} more"
            );
        }
    }
}

#[test]
fn a_footer_of_another_segment_does_not_seal_this_one() {
    for mode in MODES {
        let disk = TestDisk::new(WAY);
        let (path, _, mut bytes) = sealed(&disk);
        let other = SegmentHeader {
            salt: 1,
            ..header()
        };
        bytes[..HEADER_LEN].copy_from_slice(&other.encode());
        disk.write(&path, &bytes);
        assert!(matches!(
            open(&disk, &path, mode),
            OpenedSegment::Unsealed { .. }
        ));
    }
}

#[test]
fn a_file_without_header_and_footer_says_what_it_lacks() {
    let disk = TestDisk::new(WAY);
    let (path, _, intact) = sealed(&disk);
    for mode in MODES {
        let found = |bytes: &[u8]| {
            disk.write(&path, bytes);
            match open(&disk, &path, mode) {
                OpenedSegment::Headless { fault, len } => {
                    assert_eq!(len, bytes.len() as u64);
                    fault
                }
                _ => panic!("readable"),
            }
        };
        assert_eq!(found(&[]), HeaderFault::Truncated);
        assert_eq!(found(&intact[..127]), HeaderFault::Truncated);
        assert_eq!(found(&[0; 128]), HeaderFault::AllZeros);
        let mut bytes = intact[..intact.len() - 1].to_vec();
        bytes[..128].fill(0);
        assert_eq!(found(&bytes), HeaderFault::AllZeros);
        bytes[3] = 1;
        assert!(matches!(found(&bytes), HeaderFault::Invalid(_)));
    }
}

#[test]
fn a_segment_of_a_newer_version_is_refused() {
    let disk = TestDisk::new(WAY);
    let (path, _, mut bytes) = sealed(&disk);
    bytes[8] = 2;
    let checksum = crc32fast::hash(&bytes[..124]);
    bytes[124..128].copy_from_slice(&checksum.to_le_bytes());
    disk.write(&path, &bytes);
    for mode in MODES {
        let error = Segment::open(&disk, &path, mode).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Version);
    }
    assert_eq!(disk.read(&path), bytes);
}

#[test]
fn a_renamed_segment_is_refused() {
    let disk = TestDisk::new(WAY);
    let (path, _, bytes) = sealed(&disk);
    for name in ["0000000000000008.seg", "backup"] {
        let renamed = disk.directory().join(name);
        disk.write(&renamed, &bytes);
        for mode in MODES {
            let error = Segment::open(&disk, &renamed, mode).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.message().contains("0000000000000007.seg"));
        }
    }
    readable(open(&disk, &path, ReadMode::Pread));
}

#[test]
fn a_missing_file_is_an_io_error_that_names_it() {
    let disk = TestDisk::new(WAY);
    let path = disk.directory().join("0000000000000001.seg");
    let error = Segment::open(&disk, &path, ReadMode::Mapped).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.message().contains("0000000000000001.seg"));
}

#[test]
fn every_damaged_byte_of_a_record_is_an_error_with_file_and_offset() {
    for mode in MODES {
        let disk = TestDisk::new(WAY);
        let (path, offsets, intact) = sealed(&disk);
        let len = 5 + 3 + 3 + 3;
        for position in offsets[0] as usize..offsets[0] as usize + len {
            let mut bytes = intact.clone();
            bytes[position] ^= 0x10;
            disk.write(&path, &bytes);
            let (segment, _) = readable(open(&disk, &path, mode));
            let mut scratch = Vec::new();
            let error = match segment.record(offsets[0], &mut scratch) {
                Ok(view) => view.verify().unwrap_err(),
                Err(error) => error,
            };
            assert_eq!(
                (error.kind(), error.offset()),
                (ErrorKind::Corrupt, offsets[0])
            );
            assert!(error.message().contains("0000000000000007.seg"));
            segment
                .record(offsets[1], &mut scratch)
                .unwrap()
                .verify()
                .unwrap();
        }
    }
}

#[test]
fn places_where_no_record_lies_are_errors_not_panics() {
    for mode in MODES {
        let disk = TestDisk::new(WAY);
        let (path, offsets, bytes) = sealed(&disk);
        let (segment, _) = readable(open(&disk, &path, mode));
        let end = bytes.len() as u64;
        let mut scratch = Vec::new();
        for offset in (0..end + 64).chain([u64::MAX, u64::MAX - 15, 1 << 36, 1 << 63]) {
            let footer = offset == end - FOOTER_LEN as u64;
            let verified = segment.record(offset, &mut scratch).and_then(|view| {
                view.verify()?;
                assert_eq!(view.kind() == Kind::Footer, footer);
                Ok(())
            });
            assert_eq!(
                verified.is_ok(),
                offsets.contains(&offset) || footer,
                "offset {offset}"
            );
            let _ = segment.head_at(offset);
        }
    }
}

#[test]
fn a_huge_length_in_a_damaged_record_allocates_nothing() {
    let disk = TestDisk::new(WAY);
    let (path, offsets, intact) = sealed(&disk);
    for length in [0xffff_fff0u64, (1 << 31) - 1, u64::MAX] {
        let mut bytes = intact.clone();
        let mut position = offsets[2] as usize + 6;
        crate::log::varint::write(&mut bytes, &mut position, length);
        disk.write(&path, &bytes);
        let (segment, _) = readable(open(&disk, &path, ReadMode::Pread));
        let mut scratch = Vec::new();
        let error = segment.record(offsets[2], &mut scratch).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(scratch.capacity() <= 2 * FIRST_READ_LEN as usize);
    }
}

#[test]
fn a_file_cut_behind_our_back_is_damage_where_it_is_read_by_calls() {
    let disk = TestDisk::new(WAY);
    let (path, offsets, _) = sealed(&disk);
    let (segment, _) = readable(open(&disk, &path, ReadMode::Pread));
    disk.open_for_writing(&path).set_len(300).unwrap();
    let error = segment.record(offsets[2], &mut Vec::new()).err().unwrap();
    assert_eq!(
        (error.kind(), error.offset()),
        (ErrorKind::Corrupt, offsets[2])
    );
}
