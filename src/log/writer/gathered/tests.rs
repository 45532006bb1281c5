use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::error::ErrorKind;
use crate::log::SegmentWriter;
use crate::log::record::Fields;
use crate::log::test_files::{TestDisk, WAYS, Way, header, put, tombstone};
use crate::log::test_random::Random;
use crate::log::writer::Growth;
use crate::memory::budget::MemoryBudget;
use crate::vfs::LARGE_PAGE;

const SIZE: u64 = 64 << 20;
const SMALL_STRETCH: u64 = 64 << 10;

/// The ways of reading, and of reserving space, for a segment that is written as a whole.
fn whole_ways() -> impl Iterator<Item = Way> {
    WAYS.into_iter()
        .filter(|way| way.growth == Growth::Unknown && !way.by_calls)
        .map(|way| Way {
            growth: Growth::Whole,
            ..way
        })
}

/// A budget that leaves large stretches, and one that does not.
fn budgets() -> [(Arc<MemoryBudget>, u64); 2] {
    [
        (Arc::default(), LARGE_PAGE),
        (Arc::new(MemoryBudget::new(4 << 20)), SMALL_STRETCH),
    ]
}

/// Appends some 5 MiB of records, of which one is longer than two stretches.
fn append_all(writer: &mut SegmentWriter, mut appended: impl FnMut(&mut SegmentWriter)) {
    let mut random = Random::new(5);
    let first = writer.totals().last_sequence.max(99) + 1;
    let mut append = |fields: Fields<'_>| {
        writer.append(&fields).unwrap();
        appended(writer);
    };
    for sequence in first..3000 {
        let key = random.bytes(20);
        let value_len = match sequence {
            500 => LARGE_PAGE / 2 * 5,
            _ => random.below(1500),
        };
        match sequence % 9 {
            0 => append(tombstone(sequence, &key)),
            _ => append(put(sequence, &key, &random.bytes(value_len as usize))),
        }
    }
}

#[test]
fn the_file_is_the_one_that_is_written_record_by_record() {
    let disk = TestDisk::new(WAYS[0]);
    let (mut writer, segment) = disk.create(&header(), SIZE, WAYS[0]).unwrap();
    append_all(&mut writer, |_| {});
    writer.seal(7).unwrap();
    let expected = disk.read(segment.path());

    for way in whole_ways() {
        for (budget, _) in budgets() {
            let disk = TestDisk::new(way);
            let (writer, segment) = disk.create_unnamed(&header(), SIZE, way).unwrap();
            let mut writer = writer.within(budget);
            append_all(&mut writer, |_| {});
            writer.write_out().unwrap();
            assert_eq!(segment.readable_end(), writer.end());
            writer.seal(7).unwrap();
            assert!(disk.read_unnamed(&segment) == expected, "{way:?}");
        }
    }
}

#[test]
fn it_is_written_in_whole_stretches_and_readers_see_what_is_written() {
    for way in whole_ways() {
        for (budget, stretch) in budgets() {
            let disk = TestDisk::new(way);
            let (writer, segment) = disk.create_unnamed(&header(), SIZE, way).unwrap();
            let mut writer = writer.within(budget);
            append_all(&mut writer, |writer| {
                let whole = writer.end() / stretch * stretch;
                assert_eq!(segment.readable_end(), whole, "{way:?}");
            });
            writer.write_out().unwrap();
            let expected = writer.end().div_ceil(stretch);
            assert_eq!(disk.controls.writes.load(Relaxed), expected, "{way:?}");
        }
    }
}

#[test]
fn its_memory_is_of_the_budget_and_goes_back_when_all_is_written() {
    for (budget, stretch) in budgets() {
        let way = whole_ways().next().unwrap();
        let disk = TestDisk::new(way);
        let (writer, _) = disk.create_unnamed(&header(), SIZE, way).unwrap();
        let mut writer = writer.within(budget.clone());
        writer.append(&put(100, b"key", b"value")).unwrap();
        let lent = if stretch == LARGE_PAGE { stretch } else { 0 };
        assert_eq!(budget.used(), lent);
        append_all(&mut writer, |_| {});
        assert_eq!(budget.used(), lent);
        writer.write_out().unwrap();
        assert_eq!((budget.used(), budget.refusals()), (0, 0));
    }
}

#[test]
fn where_memory_is_scarce_it_is_the_same_file() {
    let way = whole_ways().next().unwrap();
    let files = [0, 8 << 20].map(|taken| {
        let disk = TestDisk::new(way);
        let budget = Arc::new(MemoryBudget::new(9 << 20));
        let (mut writer, segment) = disk.create_unnamed(&header(), SIZE, way).unwrap();
        budget.take(taken).unwrap();
        writer = writer.within(budget.clone());
        append_all(&mut writer, |_| {});
        writer.write_out().unwrap();
        assert_eq!(budget.refusals(), 0);
        disk.read_unnamed(&segment)
    });
    assert!(files[0] == files[1]);
}

#[test]
fn after_a_failed_write_nothing_is_taken_any_more() {
    for way in whole_ways() {
        for is_full in [true, false] {
            let disk = TestDisk::new(way);
            let (mut writer, segment) = disk.create_unnamed(&header(), SIZE, way).unwrap();
            match is_full {
                true => disk.controls.full_at.store(20_000, Relaxed),
                false => disk.controls.writes_fail.store(true, Relaxed),
            }
            let value = vec![1; SMALL_STRETCH as usize / 4];
            let mut outcomes = (100..110).map(|sequence| {
                let outcome = writer.append(&put(sequence, b"key", &value));
                outcome.and_then(|_| match sequence {
                    102 => writer.write_out(),
                    _ => Ok(()),
                })
            });
            let error = outcomes.find_map(Result::err).unwrap();
            assert_eq!(error.kind(), ErrorKind::Io, "{way:?}");
            drop(outcomes);
            assert!(writer.failed());
            let refused = writer.append(&put(120, b"key", b"value"));
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::Failed);
            assert_eq!(writer.write_out().unwrap_err().kind(), ErrorKind::Failed);
            assert_eq!(segment.readable_end(), 0, "{way:?}");
        }
    }
}
