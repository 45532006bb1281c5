use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::log::ReadMode;
use crate::log::record::Fields;
use crate::log::segment_header::SegmentHeader;
use crate::log::test_files::{TestDisk, WAYS, header, put, readable, tombstone};
use crate::log::test_image::{Image, small_image};
use crate::log::test_random::Random;
use crate::log::varint;

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
        let footer = writer.seal().unwrap();
        assert_eq!(scan(&segment), (written.clone(), expected_end), "{way:?}");
        let sealed_end = End {
            state: EndState::Sealed(footer),
            ..expected_end
        };
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
fn every_flipped_bit_of_a_sealed_segment_is_reported_or_harmless_and_costs_one_record() {
    let disk = plain_disk();
    let mut image = small_image();
    let last_mark = 480..488;
    image.push_footer();
    let (whole, whole_end) = scan_image(&disk, &image);
    let EndState::Sealed(footer) = whole_end.state else {
        panic!("not sealed");
    };
    let mut keys_reported = 0;
    for bit in FIRST as usize * 8..footer.offset as usize * 8 {
        let position = bit as u64 / 8;
        let mut flipped = image.clone();
        flipped.bytes[bit / 8] ^= 1 << (bit % 8);
        let (found, end) = scan_image(&disk, &flipped);
        assert_eq!(end.state, whole_end.state, "bit {bit}");
        let mark = if last_mark.contains(&position) {
            102
        } else {
            104
        };
        assert_eq!(end.highest_durable_mark, Some(mark));
        let damaged = damage(&found);
        let [
            Found::Damaged {
                offset,
                len,
                probable,
                ..
            },
        ] = damaged[..]
        else {
            assert_eq!(found, whole, "bit {bit}"); // Padding: the record's own tests tell which bits are.
            continue;
        };
        assert!((*offset..offset + len).contains(&position));
        let (lost, kept): (Vec<&Found>, Vec<&Found>) =
            records(&whole).into_iter().partition(|it| match it {
                Found::Record { offset, len, .. } => (*offset..offset + len).contains(&position),
                _ => false,
            });
        assert_eq!(records(&found), kept, "bit {bit}");
        if let Some((found_kind, found_sequence, found_key)) = probable {
            let [
                Found::Record {
                    kind,
                    sequence,
                    key,
                    ..
                },
            ] = lost[..]
            else {
                panic!("a record where none was: bit {bit}");
            };
            let same = (found_kind, found_sequence, found_key) == (kind, sequence, key);
            keys_reported += u32::from(same);
        }
    }
    // All but those in a head or a key: 2544 bits of puts and tombstones less 6 heads of 4 or 5 bytes and 22 bytes of keys.
    assert!(keys_reported >= 2544 - 8 * (6 * 5 + 22), "{keys_reported}");
}

#[test]
fn a_flipped_bit_in_the_footer_unseals_the_segment_and_loses_no_record() {
    let disk = plain_disk();
    let image = small_image();
    let (whole, _) = scan_image(&disk, &image);
    let mut sealed = image.clone();
    sealed.push_footer();
    for bit in image.bytes.len() * 8..sealed.bytes.len() * 8 {
        let mut flipped = sealed.clone();
        flipped.bytes[bit / 8] ^= 1 << (bit % 8);
        let (found, end) = scan_image(&disk, &flipped);
        assert_eq!(found[..whole.len()], whole);
        let at = image.bytes.len() as u64;
        assert_eq!(end.state, EndState::Invalid { at });
        assert_eq!(damage(&found).len(), 1);
    }
}

#[test]
fn the_key_of_a_damaged_record_is_reported_even_at_the_end() {
    let disk = plain_disk();
    for zeros in [0, 16, 5000] {
        let mut image = Image::new(header());
        image.push(&put(100, b"intact", b"value"));
        let offset = image.push(&put(101, b"damaged", &[1; 50]));
        image.bytes[offset as usize + 40] ^= 1;
        image.bytes.resize(image.bytes.len() + zeros, 0);
        let (found, end) = scan_image(&disk, &image);
        let expected = Found::Damaged {
            offset,
            len: image.bytes.len() as u64 - offset - zeros as u64,
            sequence_before: 100,
            reason: Invalid::Checksum,
            probable: Some((Kind::Put, 101, b"damaged".to_vec())),
        };
        assert_eq!(found[1..], [expected]);
        assert_eq!(end.state, EndState::Invalid { at: offset });
        assert_eq!(end.valid_end, offset);
    }
}

#[test]
fn a_footer_with_zeros_behind_it_seals_and_other_bytes_behind_it_are_reported() {
    let disk = plain_disk();
    let mut image = small_image();
    image.push_footer();
    let (whole, whole_end) = scan_image(&disk, &image);
    for behind in [1, 16, 100, 5000] {
        let mut longer = image.clone();
        longer.bytes.resize(image.bytes.len() + behind, 0);
        assert_eq!(scan_image(&disk, &longer), (whole.clone(), whole_end));
        *longer.bytes.last_mut().unwrap() = 1;
        let (found, end) = scan_image(&disk, &longer);
        assert_eq!(end, whole_end);
        assert_eq!(found[..whole.len()], whole);
        assert!(matches!(
            found[whole.len()..],
            [Found::Damaged { probable: None, .. }]
        ));
    }
}

#[test]
fn marks_behind_invalid_bytes_tell_what_was_durable() {
    let disk = plain_disk();
    let mut image = Image::new(header());
    image.push(&put(100, b"a", b"1"));
    let damaged = image.push(&put(101, b"b", b"2"));
    image.push(&put(102, b"c", b"3"));
    image.push_mark(101);
    let (_, end) = scan_image(&disk, &image);
    assert_eq!(end.highest_durable_mark, Some(101));
    // Whatever is left of the record, its head or nothing.
    for from in [damaged + 7, damaged] {
        let mut torn = image.clone();
        torn.bytes[from as usize..damaged as usize + 16].fill(0);
        let (found, end) = scan_image(&disk, &torn);
        assert_eq!(end.highest_durable_mark, Some(101));
        assert!(matches!(
            damage(&found)[..],
            [Found::Damaged {
                sequence_before: 100,
                len: 16,
                ..
            }]
        ));
        assert_eq!(records(&found).len(), 2);
    }
}

#[test]
fn a_hole_of_zeros_is_skipped_and_reported() {
    let disk = plain_disk();
    let mut image = Image::new(header());
    for sequence in 100..400 {
        image.push(&put(
            sequence,
            &sequence.to_le_bytes(),
            &[sequence as u8; 40],
        ));
    }
    let (whole, _) = scan_image(&disk, &image);
    for (start, len) in [(128, 512), (512, 512), (4096, 4096), (1024, 8192)] {
        let mut hole = image.clone();
        hole.bytes[start..start + len].fill(0);
        let (found, end) = scan_image(&disk, &hole);
        assert_eq!(damage(&found).len(), 1);
        assert_eq!(end.state, EndState::Clean);
        let untouched: Vec<&Found> = records(&whole)
            .into_iter()
            .filter(|it| match it {
                Found::Record {
                    offset,
                    len: record_len,
                    ..
                } => offset + record_len <= start as u64 || *offset >= (start + len) as u64,
                _ => false,
            })
            .collect();
        assert_eq!(records(&found), untouched);
    }
}

#[test]
fn records_of_another_segment_or_place_never_count() {
    let disk = plain_disk();
    let mut stale = Image::new(SegmentHeader {
        salt: 77,
        ..header()
    });
    let mut image = Image::new(header());
    for sequence in 100..120 {
        stale.push(&put(sequence, b"stale", &[1; 50]));
        if sequence < 110 {
            image.push(&put(sequence, b"valid", &[2; 50]));
        }
    }
    // The file was recycled: behind the new records the old ones still lie, at the same places.
    let end = image.bytes.len();
    let mut recycled = image.clone();
    recycled.bytes.extend(&stale.bytes[end..]);
    let (found, _) = scan_image(&disk, &recycled);
    assert_eq!((records(&found).len(), damage(&found).len()), (10, 1));
    // Valid records of this very segment once more, moved.
    for shift in [0, 16, 160] {
        let mut moved = image.clone();
        moved.bytes.resize(end + shift, 0);
        moved.bytes.extend(&image.bytes[128..]);
        let (found, _) = scan_image(&disk, &moved);
        assert_eq!((records(&found).len(), damage(&found).len()), (10, 1));
    }
}

#[test]
fn valid_looking_records_inside_a_value_are_not_records() {
    let disk = plain_disk();
    let key = b"outer";
    let mut image = Image::new(header());
    // The value holds records that are valid at exactly the place where they will lie.
    let value_start = FIRST + 4 + 1 + 1 + 2 + 1 + key.len() as u64;
    let first_inner = record::padded(value_start);
    let mut value = vec![0xcd; (first_inner - value_start) as usize];
    for sequence in 101..105 {
        let offset = value_start + value.len() as u64;
        value.extend(image.record(&put(sequence, b"inner", b"forged"), offset));
    }
    image.push(&put(100, key, &value));
    image.push(&put(101, b"next", b"value"));
    let (whole, _) = scan_image(&disk, &image);
    assert_eq!(records(&whole).len(), 2);
    for position in value_start as usize..first_inner as usize {
        let mut damaged = image.clone();
        damaged.bytes[position] ^= 1;
        let (found, _) = scan_image(&disk, &damaged);
        assert_eq!(records(&found).len(), 1);
        let Found::Damaged {
            probable: Some((Kind::Put, 100, found_key)),
            ..
        } = &found[0]
        else {
            panic!("{found:?}");
        };
        assert_eq!(found_key, key);
    }
    // With a sequence number that cannot stand there, not even where the outer record's head is gone.
    let mut forged = Image::new(header());
    let inner = forged.record(&put(5000, b"inner", b"forged"), first_inner);
    forged.push(&put(
        100,
        key,
        &[vec![0xcd; (first_inner - value_start) as usize], inner].concat(),
    ));
    forged.push(&put(101, b"next", b"value"));
    forged.bytes[FIRST as usize + 4] = 0;
    let (found, _) = scan_image(&disk, &forged);
    assert!(matches!(
        records(&found)[..],
        [Found::Record { sequence: 101, .. }]
    ));
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
fn a_damaged_header_does_not_keep_a_sealed_segment_from_being_scanned() {
    let disk = plain_disk();
    let mut image = small_image();
    image.push_footer();
    let whole = scan_image(&disk, &image);
    let path = image.open(&disk, ReadMode::Pread).path().to_path_buf();
    let mut bytes = image.bytes.clone();
    bytes[..128].fill(0xff);
    disk.write(&path, &bytes);
    for mode in [ReadMode::Mapped, ReadMode::Pread] {
        let crate::log::OpenedSegment::Sealed { segment, .. } =
            Segment::open(&disk, &path, mode).unwrap()
        else {
            panic!("not sealed");
        };
        assert_eq!(scan(&segment), whole);
    }
}

#[test]
fn records_longer_than_the_window_are_found_before_and_behind_invalid_bytes() {
    let disk = plain_disk();
    let mut random = Random::new(32);
    let mut image = Image::new(header());
    let long_key = random.bytes(65_536);
    image.push(&put(100, &long_key, &random.bytes(3 << 20)));
    let small = image.push(&put(101, b"small", b"value"));
    image.push(&put(102, b"small", b"value"));
    let long = image.push(&put(103, &long_key, &random.bytes(2 << 20)));
    image.push(&put(104, b"last", b"value"));
    image.push_footer();
    let (whole, _) = scan_image(&disk, &image);
    assert_eq!((records(&whole).len(), damage(&whole).len()), (5, 0));
    let mut damaged = image.clone();
    damaged.bytes[small as usize] ^= 1;
    let (found, _) = scan_image(&disk, &damaged);
    assert_eq!(found[2..], whole[2..]);
    damaged.bytes[long as usize + 1_000_000] ^= 1;
    let (found, _) = scan_image(&disk, &damaged);
    assert_eq!((records(&found).len(), damage(&found).len()), (3, 2));
    let Found::Damaged {
        probable: Some((_, 103, key)),
        ..
    } = damage(&found)[1]
    else {
        panic!("no key");
    };
    assert_eq!(*key, long_key);
}

/// Damages `image` in one of the ways that disks, crashes and people do.
fn mutate(random: &mut Random, image: &mut Image) {
    let len = image.bytes.len() as u64;
    let start = (FIRST + random.below(len - FIRST)) as usize;
    let run = (random.below(300) as usize).min(image.bytes.len() - start);
    match random.below(7) {
        0 => image.bytes[start] ^= 1 << random.below(8),
        1 => image.bytes[start..start + run].fill(0),
        2 => {
            let garbage = random.bytes(run);
            image.bytes[start..start + run].copy_from_slice(&garbage);
        }
        3 => image.bytes.truncate(start),
        4 => {
            let to = (FIRST + random.below(len - FIRST)) as usize / 16 * 16;
            let end = (to + run).min(image.bytes.len()).max(to);
            let from = start.min(image.bytes.len() - (end - to));
            image.bytes.copy_within(from..from + end - to, to);
        }
        5 => image.bytes.resize(image.bytes.len() + run, 0),
        _ => {
            let mut end = start.min(image.bytes.len() - varint::MAX_LEN);
            let shift = random.below(64);
            let number = random.next() >> shift;
            varint::write(&mut image.bytes, &mut end, number);
        }
    }
}

#[test]
fn whatever_happens_to_a_segment_both_ways_of_reading_find_the_same_and_nothing_invented() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let disk = plain_disk();
        let mut image = Image::new(header());
        let mut sequence = 100;
        while image.bytes.len() < 6000 {
            let key_len = random.below(20) as usize;
            let key = random.bytes(key_len);
            let longest = if random.below(20) == 0 { 5000 } else { 100 };
            let value_len = random.below(longest) as usize;
            image.push(&put(sequence, &key, &random.bytes(value_len)));
            if random.below(4) == 0 {
                image.push_mark(sequence);
            }
            sequence += 1;
        }
        if random.below(2) == 0 {
            image.push_footer();
        }
        let (whole, _) = scan_image(&disk, &image);
        let known: HashMap<u64, &Found> = records(&whole)
            .into_iter()
            .map(|it| match it {
                Found::Record { sequence, .. } => (*sequence, it),
                _ => unreachable!(),
            })
            .collect();
        for _ in 0..=random.below(4) {
            mutate(&mut random, &mut image);
            if image.bytes.len() < FIRST as usize + 64 {
                break;
            }
        }
        let (found, _) = scan_image(&disk, &image);
        for record in records(&found) {
            let Found::Record { sequence, .. } = record else {
                unreachable!();
            };
            assert_eq!(Some(&record), known.get(sequence), "seed {seed}");
        }
    }
}

/// Scans `image` by calls and by mapping; returns how often each byte was read by calls, on the average.
fn reads_per_byte(image: &Image) -> u64 {
    let disk = plain_disk();
    let segment = image.open(&disk, ReadMode::Pread);
    disk.controls.bytes_read.store(0, Relaxed);
    let read = scan(&segment);
    let bytes_read = disk.controls.bytes_read.load(Relaxed);
    assert_eq!(scan(&image.open(&disk, ReadMode::Mapped)), read);
    bytes_read / image.bytes.len() as u64
}

#[test]
fn random_garbage_is_scanned_in_time_proportional_to_its_length() {
    let mut random = Random::new(33);
    let mut image = Image::new(header());
    image.bytes.extend(random.bytes(8 << 20));
    let reads = reads_per_byte(&image);
    assert!(reads <= 4, "{reads}");
}

#[test]
fn crafted_bytes_cannot_make_a_scan_take_time_that_grows_with_the_square() {
    let len: u64 = 2 << 20;
    // Every sixteen bytes a record seems to begin that reaches to the end.
    let mut claims = Image::new(header());
    while (claims.bytes.len() as u64) < len {
        let mut claim = [0; 16];
        claim[4] = 1;
        let mut end = 5;
        varint::write(&mut claim, &mut end, 0);
        varint::write(
            &mut claim,
            &mut end,
            (len - claims.bytes.len() as u64).saturating_sub(20),
        );
        varint::write(&mut claim, &mut end, 0);
        claims.bytes.extend(claim);
    }
    let reads = reads_per_byte(&claims);
    assert!(reads <= 1100, "{reads}");
    println!("claims: {reads}");
    // The same, with a valid mark after each, so that the scan finds its way every time and loses it again.
    let mut alternating = Image::new(header());
    while (alternating.bytes.len() as u64) < len {
        let Some(claim) = claims
            .bytes
            .get(alternating.bytes.len()..alternating.bytes.len() + 16)
        else {
            break;
        };
        alternating.bytes.extend(claim);
        alternating.push_mark(100);
    }
    let reads = reads_per_byte(&alternating);
    assert!(reads <= 1100, "{reads}");
    println!("alternating: {reads}");
}

/// Scans `segment`, going on after errors; returns what was found and how many errors there were.
fn scan_over_errors(segment: &Segment) -> (Vec<Found>, End, u64) {
    let mut scanner = Scanner::new(segment).unwrap();
    let (mut found, mut errors) = (Vec::new(), 0);
    loop {
        match scanner.next_event() {
            Ok(Event::End(end)) => return (found, end, errors),
            Ok(event) => found.push(own(event)),
            Err(error) => {
                assert_eq!((error.kind(), error.os_code()), (crate::ErrorKind::Io, 5));
                errors += 1;
            }
        }
    }
}

#[test]
fn whichever_read_fails_it_is_an_error_behind_which_the_scan_goes_on_and_misses_nothing() {
    let disk = plain_disk();
    let mut random = Random::new(34);
    let mut image = Image::new(header());
    for sequence in 100..130 {
        let longest = if sequence % 10 == 0 { 2 << 20 } else { 9000 };
        let value_len = random.below(longest) as usize;
        let value = vec![sequence as u8; value_len];
        let key_len = random.below(3000) as usize;
        image.push(&put(sequence, &vec![7; key_len], &value));
        if random.below(3) == 0 {
            image.push_mark(sequence);
        }
    }
    image.push_footer();
    let len = image.bytes.len();
    for position in [len / 3, len / 2, len - 300] {
        image.bytes[position] ^= 1;
    }
    let segment = image.open(&disk, ReadMode::Pread);
    let (whole, whole_end) = scan(&segment);
    let mut reads = 0;
    loop {
        disk.controls.reads_until_failure.store(reads, Relaxed);
        let (found, end, errors) = scan_over_errors(&segment);
        assert_eq!((&found, end), (&whole, whole_end), "read {reads}");
        if errors == 0 {
            break;
        }
        assert_eq!(errors, 1);
        reads += 1;
    }
    assert!(reads > 20, "{reads}");
}

#[test]
fn a_file_that_is_cut_during_the_scan_is_an_error_and_not_the_end() {
    let disk = plain_disk();
    let mut image = Image::new(header());
    for sequence in 100..200 {
        image.push(&put(sequence, b"key", &[1; 40_000]));
    }
    let segment = image.open(&disk, ReadMode::Pread);
    let mut scanner = Scanner::new(&segment).unwrap();
    scanner.next_event().unwrap();
    disk.open_for_writing(segment.path())
        .set_len(10_000)
        .unwrap();
    let error = loop {
        match scanner.next_event() {
            Ok(event) => assert!(matches!(event, Event::Record(_))),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), crate::ErrorKind::Corrupt);
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
