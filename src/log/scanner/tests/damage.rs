//! What a scan makes of damage of every kind.

use super::*;

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

#[test]
fn the_key_of_a_damaged_record_is_still_reported_after_recovery_has_sealed_the_segment_behind_it() {
    let disk = plain_disk();
    for mark in [false, true] {
        let mut image = Image::new(header());
        image.push(&put(100, b"intact", b"value"));
        let valid = image.totals;
        let offset = image.push(&put(101, b"damaged", &[1; 50]));
        image.bytes[offset as usize + 40] ^= 1;
        if mark {
            image.push_mark(101);
        }
        image.totals = valid;
        image.push_footer();
        let (found, end) = scan_image(&disk, &image);
        assert!(matches!(end.state, EndState::Sealed(_)));
        let Found::Damaged { probable, .. } = &found[1] else {
            panic!("{found:?}");
        };
        assert_eq!(*probable, Some((Kind::Put, 101, b"damaged".to_vec())));
    }
}

#[test]
fn a_damaged_mark_is_not_taken_for_a_record() {
    let disk = plain_disk();
    for behind in 0..3 {
        let mut image = Image::new(header());
        image.push(&put(100, b"first", b"value"));
        let mark = image.push_mark(100);
        match behind {
            0 => drop(image.push(&put(101, b"second", b"value"))),
            1 => image.push_footer(),
            _ => {}
        }
        for kind in [1, 2] {
            image.bytes[mark as usize + 4] = kind;
            let (found, _) = scan_image(&disk, &image);
            let [Found::Damaged { probable: None, .. }] = damage(&found)[..] else {
                panic!("{behind}: {found:?}");
            };
        }
    }
}
