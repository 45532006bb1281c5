use std::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::log::OpenedSegment;
use crate::log::record::{MAX_KEY_LEN, MAX_SEQUENCE};
use crate::log::test_files::{TestDisk, WAYS, Way, header, put, readable, tombstone};
use crate::log::test_random::Random;

const SIZE: u64 = 64 << 20;
const RESERVED: Way = WAYS[0];
const PLAIN: Way = WAYS[2];

fn read(segment: &Segment, offset: u64) -> (Kind, u64, Vec<u8>, Vec<u8>) {
    let mut scratch = Vec::new();
    let view = segment.record(offset, &mut scratch).unwrap();
    view.verify().unwrap();
    (
        view.kind(),
        view.sequence(),
        view.key().into(),
        view.value().into(),
    )
}

#[test]
fn every_appended_record_reads_back_at_once_and_after_sealing_and_after_reopening() {
    for way in WAYS {
        let disk = TestDisk::new(way);
        let (mut writer, segment) = disk.create(&header(), SIZE, way).unwrap();
        let mut random = Random::new(11);
        let mut written = Vec::new();
        for round in 0..600 {
            let key_len = random.below(if round % 50 == 0 { 65_537 } else { 40 });
            let key = random.bytes(key_len as usize);
            let value_len = random.below(if round % 60 == 0 { 1 << 20 } else { 1200 });
            let value = random.bytes(value_len as usize);
            let sequence = 100 + round;
            let fields = match random.below(4) {
                0 => tombstone(sequence, &key),
                _ => put(sequence, &key, &value),
            };
            let len = record::encoded_len(&fields, 100);
            let end = writer.end();
            assert!(writer.fits(len));
            let offset = writer.append(&fields).unwrap();
            assert_eq!((offset, writer.end()), (end, end + len));
            assert_eq!(segment.readable_end(), writer.end());
            let expected = (fields.kind, sequence, key.clone(), fields.value.to_vec());
            assert_eq!(read(&segment, offset), expected, "{way:?}");
            assert_eq!(segment.head_at(offset).unwrap().total_len, len);
            written.push((offset, expected));
            if round % 7 == 0 {
                assert!(writer.append_mark(sequence).unwrap());
            }
        }
        let totals = *writer.totals();
        segment.sync().unwrap();
        let footer = writer.seal(2).unwrap();
        segment.sync().unwrap();
        assert_eq!(footer.totals, totals);
        let tombstones = written
            .iter()
            .filter(|(_, it)| it.0 == Kind::Tombstone)
            .count() as u64;
        assert_eq!((totals.records, totals.tombstones), (600, tombstones));
        assert_eq!((totals.first_sequence, totals.last_sequence), (100, 699));
        let sealed = segment.reopen_sealed(&footer, way.read_mode).unwrap();
        let (opened, found) = readable(disk.open(&segment, way.read_mode).unwrap());
        assert_eq!(found, Some(footer));
        assert_eq!(opened.readable_end(), footer.offset + FOOTER_LEN as u64);
        for (offset, expected) in &written {
            for reader in [&segment, &sealed, &opened] {
                assert_eq!(&read(reader, *offset), expected, "{way:?}");
            }
        }
    }
}

#[test]
fn every_way_of_writing_makes_the_same_file() {
    let files: Vec<Vec<u8>> = WAYS
        .into_iter()
        .map(|way| {
            let disk = TestDisk::new(way);
            let (mut writer, segment) = disk.create(&header(), SIZE, way).unwrap();
            writer.append(&put(100, b"key", &[5; 100_000])).unwrap();
            writer.append(&tombstone(101, b"key")).unwrap();
            writer.append_mark(101).unwrap();
            writer.seal(2).unwrap();
            disk.read(segment.path())
        })
        .collect();
    assert!(files.iter().all(|file| *file == files[0]));
}

#[test]
fn readers_in_other_threads_see_whole_records_only() {
    for way in WAYS {
        let disk = TestDisk::new(way);
        let (mut writer, segment) = disk.create(&header(), SIZE, way).unwrap();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let (mut offset, mut sequence) = (HEADER_LEN as u64, 100);
                while sequence < 3100 {
                    if offset < segment.readable_end() {
                        let (_, found, key, value) = read(&segment, offset);
                        assert_eq!(found, sequence);
                        assert_eq!(key, sequence.to_le_bytes());
                        assert!(value.iter().all(|&byte| byte == sequence as u8));
                        offset += segment.head_at(offset).unwrap().total_len;
                        sequence += 1;
                    }
                }
            });
            for sequence in 100..3100u64 {
                let value = vec![sequence as u8; sequence as usize % 700];
                writer
                    .append(&put(sequence, &sequence.to_le_bytes(), &value))
                    .unwrap();
            }
            reader.join().unwrap();
        });
    }
}

#[test]
fn a_segment_takes_records_to_exactly_its_size_and_no_more() {
    for way in WAYS {
        let disk = TestDisk::new(way);
        let size = exact_size(3 * 128);
        let (mut writer, segment) = disk.create(&header(), size, way).unwrap();
        for sequence in 100..103 {
            assert!(writer.fits(128));
            writer.append(&put(sequence, &[1; 16], &[2; 100])).unwrap();
        }
        assert!(!writer.fits(16));
        let error = writer.append(&put(103, b"", b"")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert!(!writer.append_mark(102).unwrap());
        assert!(!writer.failed());
        writer.seal(2).unwrap();
        assert_eq!(disk.read(segment.path()).len() as u64, size);
    }
}

#[test]
fn a_record_larger_than_a_segment_gets_one_of_its_own_size() {
    for way in WAYS {
        let disk = TestDisk::new(way);
        let value = vec![9; 3 << 20];
        let fields = put(100, b"large", &value);
        let size = exact_size(record::encoded_len(&fields, 100));
        let (mut writer, segment) = disk.create(&header(), size, way).unwrap();
        let offset = writer.append(&fields).unwrap();
        writer.seal(2).unwrap();
        let (opened, footer) = readable(disk.open(&segment, way.read_mode).unwrap());
        let footer = footer.unwrap();
        let hints = footer.offset - footer.records_end();
        assert_eq!(read(&opened, offset).3, value);
        assert_eq!(opened.readable_end(), size + hints);
        assert!((16..=32).contains(&hints), "a key, some numbers");
    }
}

#[test]
fn a_full_disk_is_a_clean_error_and_writing_goes_on_when_there_is_room() {
    for way in WAYS {
        let disk = TestDisk::new(way);
        disk.controls.full_at.store(300 << 10, Relaxed);
        let (mut writer, segment) = disk.create(&header(), SIZE, way).unwrap();
        let first = writer.append(&put(100, b"first", b"value")).unwrap();
        let large = vec![1; 400 << 10];
        let end = writer.end();
        for _ in 0..3 {
            let error = writer.append(&put(101, b"large", &large)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Io, "{way:?}");
            assert!(!writer.failed());
            assert_eq!((writer.end(), segment.readable_end()), (end, end));
        }
        let second = writer.append(&put(101, b"small", b"value")).unwrap();
        disk.controls.full_at.store(u64::MAX, Relaxed);
        let third = writer.append(&put(102, b"large", &large)).unwrap();
        writer.seal(2).unwrap();
        let (opened, _) = readable(disk.open(&segment, way.read_mode).unwrap());
        assert_eq!(read(&opened, first).2, b"first");
        assert_eq!(read(&opened, second).2, b"small");
        assert_eq!(read(&opened, third).3, large);
    }
}

#[test]
fn the_last_space_of_a_disk_is_used_where_a_whole_step_does_not_fit() {
    let disk = TestDisk::new(RESERVED);
    let (mut writer, _) = disk.create(&header(), SIZE, RESERVED).unwrap();
    disk.controls.full_at.store(300 << 10, Relaxed);
    writer
        .append(&put(100, b"key", &vec![1; 270 << 10]))
        .unwrap();
    let footer = writer.seal(2).unwrap();
    assert_eq!(footer.totals.records, 1);
}

#[test]
fn a_full_disk_always_leaves_room_for_the_footer_where_space_is_reserved() {
    for way in &WAYS[..2] {
        let disk = TestDisk::new(*way);
        let (mut writer, segment) = disk.create(&header(), SIZE, *way).unwrap();
        disk.controls.full_at.store(256 << 10, Relaxed);
        let mut sequence = 100;
        while writer.append(&put(sequence, &[1; 16], &[2; 100])).is_ok() {
            sequence += 1;
        }
        assert!(sequence > 2000 && !writer.failed());
        writer.seal(2).unwrap();
        let (_, footer) = readable(disk.open(&segment, way.read_mode).unwrap());
        assert_eq!(footer.unwrap().totals.last_sequence, sequence - 1);
    }
}

#[test]
fn after_a_failed_write_nothing_is_written_any_more_and_readers_see_what_was_there() {
    for way in [WAYS[1], WAYS[2], WAYS[3]] {
        let disk = TestDisk::new(way);
        let (mut writer, segment) = disk.create(&header(), SIZE, way).unwrap();
        let offset = writer.append(&put(100, b"key", b"value")).unwrap();
        disk.controls.writes_fail.store(true, Relaxed);
        let error = writer.append(&put(101, b"lost", b"value")).unwrap_err();
        assert_eq!((error.kind(), error.os_code()), (ErrorKind::Io, 5));
        assert!(error.message().contains("0000000000000007.seg"));
        assert!(writer.failed());
        disk.controls.writes_fail.store(false, Relaxed);
        for _ in 0..2 {
            let error = writer.append(&put(101, b"lost", b"value")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Failed);
        }
        assert_eq!(segment.readable_end(), writer.end());
        assert_eq!(read(&segment, offset).2, b"key");
    }
}

#[test]
fn records_that_break_the_order_of_sequence_numbers_are_refused() {
    let disk = TestDisk::new(PLAIN);
    let (mut writer, _) = disk.create(&header(), SIZE, PLAIN).unwrap();
    let refused = |writer: &mut SegmentWriter, sequence| {
        let end = writer.end();
        let error = writer.append(&put(sequence, b"k", b"v")).unwrap_err();
        assert_eq!(
            (error.kind(), writer.end()),
            (ErrorKind::Invalid, end),
            "{sequence}"
        );
    };
    for sequence in [0, 99, 101, u64::MAX] {
        refused(&mut writer, sequence);
    }
    writer.append(&put(100, b"k", b"v")).unwrap();
    for sequence in [99, 100, 102] {
        refused(&mut writer, sequence);
    }
    writer.append(&put(101, b"k", b"v")).unwrap();

    let compacted = SegmentHeader {
        origin: Origin::Compaction,
        segment_id: 8,
        ..header()
    };
    let (mut writer, _) = disk.create(&compacted, SIZE, PLAIN).unwrap();
    refused(&mut writer, 99);
    for sequence in [105, 107, MAX_SEQUENCE] {
        writer.append(&put(sequence, b"k", b"v")).unwrap();
        refused(&mut writer, sequence);
    }
    refused(&mut writer, u64::MAX);
}

#[test]
fn a_refused_record_changes_nothing() {
    for way in WAYS {
        let disk = TestDisk::new(way);
        let (mut writer, segment) = disk.create(&header(), SIZE, way).unwrap();
        let long_key = vec![0; MAX_KEY_LEN + 1];
        let error = writer.append(&put(100, &long_key, b"")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        let footer = Fields {
            kind: Kind::Footer,
            ..put(100, b"", b"")
        };
        assert_eq!(
            writer.append(&footer).unwrap_err().kind(),
            ErrorKind::Invalid
        );
        assert_eq!(segment.readable_end(), HEADER_LEN as u64);
        writer.append(&put(100, b"k", b"v")).unwrap();
    }
}

#[test]
fn a_segment_that_cannot_be_created_leaves_no_file_behind() {
    for way in WAYS {
        let disk = TestDisk::new(way);
        let error = disk
            .create(&header(), exact_size(0) - 1, way)
            .err()
            .unwrap();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        for impossible in [
            SegmentHeader {
                segment_id: 0,
                ..header()
            },
            SegmentHeader {
                base_sequence: 0,
                ..header()
            },
        ] {
            let error = disk.create(&impossible, SIZE, way).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Invalid);
        }
        disk.controls.full_at.store(100, Relaxed);
        let error = disk.create(&header(), SIZE, way).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(disk.list(disk.directory()).unwrap().is_empty());
        disk.controls.full_at.store(u64::MAX, Relaxed);
        disk.create(&header(), SIZE, way).unwrap();
        let error = disk.create(&header(), SIZE, way).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert_eq!(disk.list(disk.directory()).unwrap().len(), 1);
    }
}

#[test]
fn an_unsealed_segment_opens_with_everything_that_was_appended() {
    for way in WAYS {
        let disk = TestDisk::new(way);
        let (mut writer, segment) = disk.create(&header(), SIZE, way).unwrap();
        let offset = writer.append(&put(100, b"key", b"value")).unwrap();
        drop(writer);
        let opened = disk.open(&segment, way.read_mode).unwrap();
        assert!(matches!(opened, OpenedSegment::Unsealed { .. }));
        assert_eq!(read(&readable(opened).0, offset).3, b"value");
    }
}

#[test]
fn space_is_reserved_in_growing_steps() {
    let disk = TestDisk::new(RESERVED);
    let (mut writer, segment) = disk.create(&header(), SIZE, RESERVED).unwrap();
    let mut lengths = vec![segment.file().len().unwrap()];
    for sequence in 100..400 {
        writer
            .append(&put(sequence, b"key", &[1; 100_000]))
            .unwrap();
        let len = segment.file().len().unwrap();
        if len != *lengths.last().unwrap() {
            lengths.push(len);
        }
    }
    let steps: Vec<u64> = lengths
        .windows(2)
        .map(|pair| (pair[1] - pair[0]) >> 10)
        .collect();
    assert_eq!(lengths[0], 128 << 10);
    assert_eq!(steps, [512, 1024, 2048, 4096, 8192, 8192, 8192]);
}
