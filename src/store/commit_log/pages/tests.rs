use std::path::Path;

use super::*;
use crate::store::{Compaction, Options, Store, SyncMode};
use crate::vfs::SimulatedDisk;

/// What pages of a segment were asked for, and where its records and the space reserved for it ended then.
#[derive(Debug, PartialEq)]
struct Asked {
    segment: u64,
    pages: Range<u64>,
    possible: Range<u64>,
}

/// Puts of `length` bytes, 4 MiB together, `pause` after each other.
fn asked_for(sync_mode: SyncMode, length: usize, pause: Duration) -> Vec<Asked> {
    let disk = SimulatedDisk::new(1);
    let options = Options {
        sync_mode,
        background_threads: 0,
        compaction: Compaction::Manual,
        ..Options::default()
    };
    let store = Store::open_on(Arc::new(disk.clone()), Path::new("/store"), &options).unwrap();
    let log = store.shared.log().unwrap();
    let mut all = Vec::new();
    for number in 0..(4 << 20) / length {
        disk.advance_clock(pause);
        store.put(&number.to_le_bytes(), &vec![1; length]).unwrap();
        let tail = log.tail.lock();
        if let Some(wanted) = log.wanted_pages.lock().first() {
            let active = tail.active.as_ref().unwrap();
            let space = active.writer.mapped_space().unwrap();
            all.push(Asked {
                segment: active.live.segment.id(),
                pages: wanted.pages.clone(),
                possible: active.writer.end()..space,
            });
        }
        drop(tail);
        log.prepare_pages();
        assert!(log.wanted_pages.lock().is_empty());
    }
    all
}

#[test]
fn where_puts_follow_each_other_quickly_the_next_pages_are_asked_for_once_each() {
    let asked = asked_for(SyncMode::None, 1000, Duration::from_micros(50));
    assert!(asked.len() >= 4, "{asked:?}");
    for Asked {
        pages, possible, ..
    } in &asked
    {
        assert!(possible.start <= pages.start && pages.end <= possible.end);
        assert!(pages.end - possible.start <= AHEAD);
    }
    for pair in asked.windows(2) {
        let is_new = pair[0].segment < pair[1].segment;
        assert!(
            is_new || pair[0].pages.end <= pair[1].pages.start,
            "{pair:?}"
        );
    }
    let length: u64 = asked.iter().map(|it| it.pages.end - it.pages.start).sum();
    assert!(length > 3 << 20, "of 4 MiB: {length}");
}

#[test]
fn where_puts_are_slow_no_pages_are_asked_for() {
    let slow = asked_for(SyncMode::None, 64_000, Duration::from_millis(10));
    assert_eq!(slow, []);
}

#[test]
fn where_records_are_written_by_calls_no_pages_are_asked_for() {
    let by_calls = asked_for(SyncMode::Always, 16_000, Duration::from_micros(50));
    assert_eq!(by_calls, []);
}
