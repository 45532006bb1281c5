use std::sync::atomic::Ordering::Relaxed;

use crate::error::ErrorKind;
use crate::log::record::{self, Fields, Kind, MAX_KEY_LEN};
use crate::log::segment_header::HEADER_LEN;
use crate::log::test_files::{TestDisk, WAYS, header, put, readable, tombstone};
use crate::log::test_random::Random;
use crate::log::writer::exact_size;
use crate::log::{Event, Scanner, Segment, SegmentWriter};

const SIZE: u64 = 64 << 20;

/// The links of a chain made of `records`, and what they take.
fn chain<'a>(records: &[Fields<'a>]) -> (Vec<Fields<'a>>, u64) {
    let last = records.len() - 1;
    let links: Vec<Fields<'a>> = (0..)
        .zip(records)
        .map(|(number, fields)| Fields {
            continues: number < last,
            ..*fields
        })
        .collect();
    let len = links
        .iter()
        .map(|fields| record::encoded_len(fields, 100))
        .sum();
    (links, len)
}

fn append(writer: &mut SegmentWriter, records: &[Fields<'_>]) -> crate::Result<()> {
    let (links, len) = chain(records);
    writer.append_chain(links.into_iter(), len, |_| {})
}

/// Sequence number, kind, key, length of the value, and whether it continues, of every record.
fn scanned(segment: &Segment) -> Vec<(u64, Kind, Vec<u8>, usize, bool)> {
    let mut scanner = Scanner::new(segment).unwrap();
    let mut found = Vec::new();
    loop {
        match scanner.next_event().unwrap() {
            Event::Record(it) => {
                found.push((
                    it.sequence,
                    it.kind,
                    it.key.to_vec(),
                    it.value_len,
                    it.continues,
                ));
            }
            Event::Mark { .. } | Event::Hints { .. } | Event::Manifest { .. } => {}
            Event::Damaged(span) => panic!("{span:?}"),
            Event::End(_) => return found,
        }
    }
}

#[test]
fn chains_of_any_lengths_read_back_as_they_were_written() {
    let seed = 5;
    for way in WAYS {
        let disk = TestDisk::new(way);
        let (mut writer, segment) = disk.create(&header(), SIZE, way).unwrap();
        let mut random = Random::new(seed);
        let mut expected = Vec::new();
        let mut sequence = 100;
        for round in 0..60 {
            let count = 1 + random.below(if round % 10 == 0 { 300 } else { 6 });
            let parts: Vec<(Vec<u8>, Vec<u8>)> = (0..count)
                .map(|_| {
                    let longest = [40, 4_000][usize::from(random.below(20) == 0)];
                    let key_len = random.below(longest);
                    let longest = [900, 200_000][usize::from(random.below(20) == 0)];
                    let value_len = random.below(longest);
                    (
                        random.bytes(key_len as usize),
                        random.bytes(value_len as usize),
                    )
                })
                .collect();
            let records: Vec<Fields<'_>> = (sequence..)
                .zip(&parts)
                .map(|(sequence, (key, value))| match value.len() % 3 {
                    0 => tombstone(sequence, key),
                    _ => put(sequence, key, value),
                })
                .collect();
            append(&mut writer, &records).unwrap();
            for (number, it) in (1..).zip(&records) {
                expected.push((
                    it.sequence,
                    it.kind,
                    it.key.to_vec(),
                    it.value.len(),
                    number < count,
                ));
            }
            sequence += count;
            if round % 3 == 0 {
                writer.append_mark(sequence - 1).unwrap();
            }
        }
        assert_eq!(scanned(&segment), expected, "{way:?}, seed {seed}");
        let footer = writer.seal(0).unwrap();
        assert_eq!(footer.totals.records, expected.len() as u64);
        let (opened, _) = readable(disk.open(&segment, way.read_mode).unwrap());
        assert_eq!(scanned(&opened), expected, "{way:?}, seed {seed}");
    }
}

#[test]
fn a_chain_makes_the_file_that_its_records_one_by_one_would_make() {
    let records = [
        put(100, b"key", &[5; 100_000]),
        put(101, b"", b""),
        tombstone(102, b"key"),
        put(103, b"other", &[6; 65_000]),
    ];
    let files: Vec<Vec<u8>> = WAYS
        .into_iter()
        .flat_map(|way| {
            [true, false].map(|chained| {
                let disk = TestDisk::new(way);
                let (mut writer, segment) = disk.create(&header(), SIZE, way).unwrap();
                let (links, len) = chain(&records);
                if chained {
                    writer.append_chain(links.into_iter(), len, |_| {}).unwrap();
                } else {
                    for fields in &links {
                        writer.append(fields).unwrap();
                    }
                }
                writer.seal(0).unwrap();
                disk.read(segment.path())
            })
        })
        .collect();
    assert!(files.iter().all(|file| *file == files[0]));
}

#[test]
fn a_chain_fills_a_segment_to_exactly_its_size_and_no_more() {
    for way in WAYS {
        let disk = TestDisk::new(way);
        let records = [put(100, &[1; 16], &[2; 100]), put(101, &[3; 16], &[4; 100])];
        let (mut writer, segment) = disk.create(&header(), exact_size(255), way).unwrap();
        let error = append(&mut writer, &records).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert!(!writer.failed());
        assert_eq!(segment.readable_end(), HEADER_LEN as u64);
        drop(disk);
        let disk = TestDisk::new(way);
        let (mut writer, _) = disk.create(&header(), exact_size(256), way).unwrap();
        append(&mut writer, &records).unwrap();
        assert!(!writer.fits(16));
    }
}

#[test]
fn readers_in_other_threads_see_a_chain_whole_or_not_at_all() {
    for way in WAYS {
        let disk = TestDisk::new(way);
        let (mut writer, segment) = disk.create(&header(), SIZE, way).unwrap();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                while segment.readable_end() < HEADER_LEN as u64 + 300 * 5 * 32 {
                    let records = (segment.readable_end() - HEADER_LEN as u64) / 32;
                    assert!(records.is_multiple_of(5), "{records}");
                }
            });
            for number in 0..300 {
                let first = 100 + number * 5;
                // 32 bytes each, however many bytes the sequence number takes.
                let records: Vec<Fields<'_>> = (first..first + 5)
                    .map(|sequence| put(sequence, b"eight by", b"ten bytes!"))
                    .collect();
                append(&mut writer, &records).unwrap();
            }
            reader.join().unwrap();
        });
    }
}

#[test]
fn a_full_disk_in_the_middle_of_a_chain_leaves_nothing_of_it() {
    for way in WAYS {
        let disk = TestDisk::new(way);
        disk.controls.full_at.store(300 << 10, Relaxed);
        let (mut writer, segment) = disk.create(&header(), SIZE, way).unwrap();
        writer.append(&put(100, b"first", b"value")).unwrap();
        let end = writer.end();
        let large = vec![1; 150 << 10];
        let records = [
            put(101, b"small", b"value"),
            put(102, b"large", &large),
            put(103, b"large too", &large),
        ];
        for _ in 0..3 {
            let error = append(&mut writer, &records).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Io, "{way:?}");
            assert!(!writer.failed());
            assert_eq!((writer.end(), segment.readable_end()), (end, end));
        }
        append(&mut writer, &records[..1]).unwrap();
        disk.controls.full_at.store(u64::MAX, Relaxed);
        append(
            &mut writer,
            &[put(102, b"large", &large), put(103, b"", b"")],
        )
        .unwrap();
        writer.seal(0).unwrap();
        let (opened, _) = readable(disk.open(&segment, way.read_mode).unwrap());
        let sequences: Vec<u64> = scanned(&opened).iter().map(|it| it.0).collect();
        assert_eq!(sequences, [100, 101, 102, 103]);
    }
}

#[test]
fn after_a_failed_write_within_a_chain_nothing_is_written_any_more() {
    for way in [WAYS[1], WAYS[2], WAYS[3]] {
        let disk = TestDisk::new(way);
        let (mut writer, segment) = disk.create(&header(), SIZE, way).unwrap();
        writer.append(&put(100, b"key", b"value")).unwrap();
        disk.controls.writes_fail.store(true, Relaxed);
        let records = [put(101, b"lost", b"value"), put(102, b"lost", b"too")];
        let error = append(&mut writer, &records).unwrap_err();
        assert_eq!((error.kind(), error.os_code()), (ErrorKind::Io, 5));
        assert!(writer.failed());
        disk.controls.writes_fail.store(false, Relaxed);
        let error = append(&mut writer, &records).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed);
        assert_eq!(scanned(&segment).len(), 1);
    }
}

#[test]
fn a_chain_with_a_record_that_cannot_be_leaves_nothing_that_could_count_later() {
    for way in WAYS {
        let long_key = vec![0; MAX_KEY_LEN + 1];
        for wrong in [put(103, b"a gap", b""), put(102, &long_key, b"")] {
            let disk = TestDisk::new(way);
            let (mut writer, segment) = disk.create(&header(), SIZE, way).unwrap();
            let records = [
                put(100, b"k", &[7; 100_000]),
                put(101, b"k", &[7; 100_000]),
                wrong,
            ];
            append(&mut writer, &records).unwrap_err();
            assert_eq!(scanned(&segment), []);
            // Where the bytes could not be taken away, nothing may be written up to them.
            let next = writer.append(&put(100, b"k", &[8; 99_980]));
            assert_eq!(next.is_err(), writer.failed(), "{way:?}");
            assert_eq!(writer.failed(), way.reserves, "{way:?}");
            let (opened, _) = readable(disk.open(&segment, way.read_mode).unwrap());
            if !writer.failed() {
                assert_eq!(scanned(&opened).len(), 1, "{way:?}");
            }
        }
    }
}
