//! Batches at the end of an unsealed segment. Sequence numbers begin with 100.

use super::*;
use crate::log::ReadMode;
use crate::log::record::Fields;
use crate::log::test_files::{TestDisk, WAYS, header, put};
use crate::log::test_image::Image;

/// A record of a batch that is not its last.
fn linked(sequence: u64) -> Fields<'static> {
    Fields {
        continues: true,
        ..put(sequence, b"key", b"value")
    }
}

fn single(sequence: u64) -> Fields<'static> {
    put(sequence, b"key", b"value")
}

fn measured(image: &Image, proven: u64) -> Extent {
    let disk = TestDisk::new(WAYS[3]);
    let segment = image.open(&disk, ReadMode::Pread);
    measure(&segment, &read(&segment).unwrap(), proven).unwrap()
}

/// The last sequence number that counts, and where the records end that do.
fn counted(image: &Image, proven: u64) -> (u64, u64) {
    let extent = measured(image, proven);
    (extent.totals.last_sequence, extent.end)
}

/// A record alone, a batch of three, a record alone; and where each record begins.
fn with_batch() -> (Image, Vec<u64>) {
    let mut image = Image::new(header());
    let offsets = [
        single(100),
        linked(101),
        linked(102),
        single(103),
        single(104),
    ]
    .iter()
    .map(|fields| image.push(fields))
    .collect();
    (image, offsets)
}

fn damage(image: &mut Image, offset: u64) {
    image.bytes[offset as usize + 12] ^= 1;
}

#[test]
fn a_batch_cut_at_any_byte_counts_whole_or_not_at_all() {
    let (whole, offsets) = with_batch();
    for length in offsets[1]..=offsets[4] {
        let mut image = whole.clone();
        image.bytes.truncate(length as usize);
        // The padding of a record says nothing.
        let last_ends = offsets[3] + 4 + 4 + 3 + 5;
        let expected = match length >= last_ends {
            true => (103, offsets[4]),
            false => (100, offsets[1]),
        };
        assert_eq!(counted(&image, 100), expected, "cut at {length}");
        // Followed by space that was reserved, too.
        image.bytes.resize(8192, 0);
        assert_eq!(counted(&image, 100), expected, "cut at {length}, zeros");
    }
}

#[test]
fn a_batch_of_which_any_record_is_torn_does_not_count_nor_what_follows() {
    let (whole, offsets) = with_batch();
    for torn in 1..=3 {
        let mut image = whole.clone();
        damage(&mut image, offsets[torn]);
        assert_eq!(counted(&image, 100), (100, offsets[1]), "record {torn}");
    }
}

#[test]
fn a_mark_within_a_batch_changes_nothing() {
    let mut image = Image::new(header());
    image.push(&single(100));
    image.push(&linked(101));
    image.push_mark(100);
    let complete = image.clone();
    assert_eq!(counted(&image, 100), (100, 144));
    image = complete;
    image.push(&single(102));
    assert_eq!(counted(&image, 100).0, 102);
}

#[test]
fn damage_to_a_durable_batch_costs_no_other_record() {
    let (whole, offsets) = with_batch();
    for damaged in &offsets[1..=3] {
        let mut image = whole.clone();
        damage(&mut image, *damaged);
        for proven in [103, 104] {
            assert_eq!(counted(&image, proven).0, 104, "record at {damaged}");
        }
    }
}

#[test]
fn a_durable_batch_whose_end_is_lost_as_zeros_is_kept_as_far_as_it_is_there() {
    let (mut image, offsets) = with_batch();
    image.bytes.truncate(offsets[3] as usize);
    image.bytes.resize(8192, 0);
    assert_eq!(counted(&image, 103), (102, offsets[3]));
}

#[test]
fn damage_that_reaches_from_durable_records_into_a_batch_that_was_not_takes_the_whole_batch() {
    // 103 is the last durable one; 104 to 106 are a batch of which the damage takes the beginning.
    let (mut image, offsets) = with_batch();
    let beginning = image.push(&linked(105));
    image.push(&single(106));
    image.push(&single(107));
    damage(&mut image, offsets[3]);
    damage(&mut image, offsets[4]);
    assert_eq!(
        counted(&image, 103),
        (102, beginning),
        "105 follows 104, which is lost"
    );
    assert_eq!(counted(&image, 104).0, 107, "104 was durable, 105 is whole");
}

#[test]
fn every_sequence_number_of_a_torn_batch_counts_as_used() {
    let (mut image, offsets) = with_batch();
    image.bytes.truncate(offsets[3] as usize);
    assert_eq!(counted(&image, u64::MAX).0, 102);
}

#[test]
fn a_sealed_end_that_was_not_cut_keeps_what_its_footer_proves() {
    let mut image = Image::new(header());
    image.push(&single(100));
    image.push(&linked(101));
    image.push_footer();
    image.bytes.resize(8192, 0);
    let extent = measured(&image, 101);
    assert_eq!(
        (extent.totals.last_sequence, extent.has_footer),
        (101, true)
    );
}

#[test]
fn a_torn_batch_at_the_very_beginning_counts_only_if_it_was_proven_durable() {
    let mut image = Image::new(header());
    let first = image.push(&linked(100));
    image.push(&linked(101));
    assert_eq!(counted(&image, 99), (0, first));
    assert_eq!(counted(&image, 101).0, 101);
}
