use super::*;
use crate::log::ReadMode;
use crate::log::record::Fields;
use crate::log::segment_header::SegmentHeader;
use crate::log::test_files::{TestDisk, WAYS, header, put, readable, tombstone};
use crate::log::test_image::{Image, small_image};
use crate::log::test_random::Random;

mod adversity;
mod damage;

const FIRST: u64 = HEADER_LEN as u64;

/// An event that outlives the scanner.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    Record {
        offset: u64,
        len: u64,
        kind: Kind,
        continues: bool,
        expires_at_ms: Option<u64>,
        sequence: u64,
        key: Vec<u8>,
        value_len: usize,
    },
    Mark(u64, u64),
    Hints(u64),
    Damaged {
        offset: u64,
        len: u64,
        sequence_before: u64,
        reason: Invalid,
        probable: Option<(Kind, u64, Vec<u8>)>,
    },
}

fn own(event: Event<'_>) -> Found {
    match event {
        Event::Record(it) => Found::Record {
            offset: it.offset,
            len: it.len,
            kind: it.kind,
            continues: it.continues,
            expires_at_ms: it.expires_at_ms,
            sequence: it.sequence,
            key: it.key.into(),
            value_len: it.value_len,
        },
        Event::Mark {
            offset,
            durable_sequence,
        } => Found::Mark(offset, durable_sequence),
        Event::Damaged(it) => Found::Damaged {
            offset: it.offset,
            len: it.len,
            sequence_before: it.sequence_before,
            reason: it.reason,
            probable: it.probable.map(|it| (it.kind, it.sequence, it.key.into())),
        },
        Event::Hints { end } => Found::Hints(end),
        Event::Manifest { .. } => panic!("nothing here was written by compaction"),
        Event::End(_) => panic!("the end is not an event to keep"),
    }
}

fn scan(segment: &Segment) -> (Vec<Found>, End) {
    let mut scanner = Scanner::new(segment).unwrap();
    let mut found = Vec::new();
    loop {
        match scanner.next_event().unwrap() {
            Event::End(end) => {
                assert_eq!(scanner.next_event().unwrap(), Event::End(end));
                return (found, end);
            }
            event => found.push(own(event)),
        }
    }
}

/// What both ways of reading find in `image`, having made sure that it is the same.
fn scan_image(disk: &TestDisk, image: &Image) -> (Vec<Found>, End) {
    let mapped = scan(&image.open(disk, ReadMode::Mapped));
    let read = scan(&image.open(disk, ReadMode::Pread));
    assert_eq!(mapped, read);
    check_tiling(image, &mapped);
    mapped
}

/// Events lie side by side, from the header to where the segment ends, and zeros or the footer follow.
fn check_tiling(image: &Image, (found, end): &(Vec<Found>, End)) {
    let file_end = image.bytes.len() as u64;
    let mut position = FIRST;
    for event in found {
        if let EndState::Sealed(footer) = end.state
            && position == footer.offset
        {
            position += FOOTER_LEN as u64;
        }
        let (offset, len) = match event {
            Found::Record { offset, len, .. } | Found::Damaged { offset, len, .. } => {
                (*offset, *len)
            }
            Found::Mark(offset, _) => (*offset, 16),
            Found::Hints(end) => (position, end - position),
        };
        assert_eq!(offset, position);
        position += len;
    }
    match end.state {
        EndState::Clean | EndState::Invalid { .. } => {
            let rest = &image.bytes[(position.min(file_end)) as usize..];
            assert!(rest.iter().all(|&byte| byte == 0));
        }
        EndState::Sealed(_) => {}
    }
}

fn records(found: &[Found]) -> Vec<&Found> {
    found
        .iter()
        .filter(|it| matches!(it, Found::Record { .. }))
        .collect()
}

fn damage(found: &[Found]) -> Vec<&Found> {
    found
        .iter()
        .filter(|it| matches!(it, Found::Damaged { .. }))
        .collect()
}

fn plain_disk() -> TestDisk {
    TestDisk::new(WAYS[3])
}

#[test]
fn a_scan_yields_what_was_written_in_order_whether_sealed_or_not() {
    for way in WAYS {
        let disk = TestDisk::new(way);
        let mut random = Random::new(31);
        let (mut writer, segment) = disk.create(&header(), 64 << 20, way).unwrap();
        let (mut written, mut mark) = (Vec::new(), None);
        for sequence in 100..900 {
            let key_len = random.below(if sequence % 90 == 0 { 65_537 } else { 40 });
            let key = random.bytes(key_len as usize);
            let value_len = random.below(if sequence % 100 == 0 { 3 << 20 } else { 300 }) as usize;
            let value = vec![sequence as u8; value_len];
            let fields = match random.below(4) {
                0 => tombstone(sequence, &key),
                1 => Fields {
                    expires_at_ms: Some(random.next()),
                    ..put(sequence, &key, &value)
                },
                2 => Fields {
                    continues: true,
                    ..put(sequence, &key, &value)
                },
                _ => put(sequence, &key, &value),
            };
            let offset = writer.append(&fields).unwrap();
            written.push(Found::Record {
                offset,
                len: writer.end() - offset,
                kind: fields.kind,
                continues: fields.continues,
                expires_at_ms: fields.expires_at_ms,
                sequence,
                key: key.clone(),
                value_len: fields.value.len(),
            });
            if random.below(5) == 0 {
                written.push(Found::Mark(writer.end(), sequence - 1));
                writer.append_mark(sequence - 1).unwrap();
                mark = Some(sequence - 1);
            }
        }
        let expected_end = End {
            state: EndState::Clean,
            valid_end: writer.end(),
            totals: *writer.totals(),
            last_sequence: 899,
            highest_durable_mark: mark,
        };
        // While it is being written, after a crash, sealed but not yet reopened, and sealed.
        assert_eq!(scan(&segment), (written.clone(), expected_end), "{way:?}");
        let crashed = readable(disk.open(&segment, way.read_mode).unwrap()).0;
        assert_eq!(scan(&crashed), (written.clone(), expected_end), "{way:?}");
        drop(crashed);
        let footer = writer.seal(2).unwrap();
        assert_eq!(scan(&segment), (written.clone(), expected_end), "{way:?}");
        let sealed_end = End {
            state: EndState::Sealed(footer),
            valid_end: footer.offset,
            ..expected_end
        };
        assert_eq!(footer.records_end(), expected_end.valid_end);
        written.extend(footer.hints_at.map(|_| Found::Hints(footer.offset)));
        let sealed = readable(disk.open(&segment, way.read_mode).unwrap()).0;
        assert_eq!(scan(&sealed), (written, sealed_end), "{way:?}");
    }
}

#[test]
fn an_empty_segment_ends_cleanly_with_or_without_zeros_behind() {
    let disk = plain_disk();
    for zeros in [0, 1, 15, 16, 4096, 3 << 20] {
        let mut image = Image::new(header());
        image.bytes.resize(FIRST as usize + zeros, 0);
        let (found, end) = scan_image(&disk, &image);
        assert_eq!(found, []);
        assert_eq!((end.state, end.valid_end), (EndState::Clean, FIRST));
        assert_eq!((end.last_sequence, end.highest_durable_mark), (99, None));
    }
}

#[test]
fn a_file_cut_at_any_length_yields_the_records_before_the_cut() {
    let disk = plain_disk();
    let image = small_image();
    let (whole, _) = scan_image(&disk, &image);
    for len in FIRST as usize..image.bytes.len() {
        let mut cut = image.clone();
        cut.bytes.truncate(len);
        let (found, end) = scan_image(&disk, &cut);
        let valid = damage(&found)
            .first()
            .map_or(found.len(), |_| found.len() - 1);
        assert_eq!(found[..valid], whole[..valid], "cut to {len}");
        assert!(end.valid_end <= len as u64);
        // A record is lost only if one of its own bytes, other than padding, is.
        if let Some(Found::Record {
            offset,
            expires_at_ms,
            key,
            value_len,
            ..
        }) = whole.get(valid)
        {
            let head_len =
                if expires_at_ms.is_some() { 16 } else { 8 } + usize::from(*value_len > 127);
            assert!(offset + (head_len + key.len() + value_len) as u64 > len as u64);
        }
    }
}

#[test]
fn a_gap_in_the_sequence_of_fresh_records_is_invalid() {
    let disk = plain_disk();
    for sequence in [99 + 1, 102, 5000] {
        let mut image = Image::new(header());
        image.push(&put(100, b"a", b"1"));
        image.push(&put(sequence, b"b", b"2"));
        let (found, end) = scan_image(&disk, &image);
        assert_eq!(records(&found).len(), 1);
        let [
            Found::Damaged {
                reason: Invalid::Sequence,
                ..
            },
        ] = damage(&found)[..]
        else {
            panic!("{found:?}");
        };
        assert_eq!(end.last_sequence, 100);
    }
}

#[test]
fn the_output_of_compaction_may_have_gaps_but_no_steps_back() {
    let disk = plain_disk();
    let mut image = Image::new(SegmentHeader {
        origin: Origin::Compaction,
        ..header()
    });
    for sequence in [100, 105, 1 << 40, 1 << 62] {
        image.push(&put(sequence, b"k", b"v"));
    }
    let valid = image.bytes.len() as u64;
    for sequence in [1 << 62, 105] {
        let mut back = image.clone();
        back.push(&put(sequence, b"k", b"v"));
        let (found, end) = scan_image(&disk, &back);
        assert_eq!(
            (records(&found).len(), end.state),
            (4, EndState::Invalid { at: valid })
        );
    }
}

#[test]
fn a_record_that_follows_durable_ones_proves_them_durable_as_a_mark_does() {
    let way = WAYS[0];
    let disk = TestDisk::new(way);
    let (mut writer, segment) = disk.create(&header(), 64 << 20, way).unwrap();
    for sequence in 100..=102 {
        let fields = Fields {
            follows_durable: sequence == 102,
            ..put(sequence, b"key", b"value")
        };
        writer.append(&fields).unwrap();
    }
    let (_, end) = scan(&segment);
    assert_eq!(end.highest_durable_mark, Some(101));
}

#[test]
fn the_first_record_of_a_segment_that_follows_durable_ones_proves_no_number_that_no_record_has() {
    let way = WAYS[0];
    let disk = TestDisk::new(way);
    let header = SegmentHeader {
        predecessor_sequence: 95,
        ..header()
    };
    let (mut writer, segment) = disk.create(&header, 64 << 20, way).unwrap();
    let fields = Fields {
        follows_durable: true,
        ..put(header.base_sequence, b"key", b"value")
    };
    writer.append(&fields).unwrap();
    let (_, end) = scan(&segment);
    assert_eq!(end.highest_durable_mark, Some(95));
}
