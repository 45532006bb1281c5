//! Random damage, crafted files, failing reads.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::log::varint;

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
