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
    size: u64,
    large: bool,
}

/// Puts of `length` bytes, `total` together, `pause` after each other.
fn asked_for(sync_mode: SyncMode, total: usize, length: usize, pause: Duration) -> Vec<Asked> {
    asked_between_syncs(sync_mode, total, usize::MAX, length, pause)
}

/// The same with a sync behind about so many bytes.
fn asked_between_syncs(
    sync_mode: SyncMode,
    total: usize,
    between_syncs: usize,
    length: usize,
    pause: Duration,
) -> Vec<Asked> {
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
    for number in 0..total / length {
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
                size: active.writer.size(),
                large: wanted.large,
            });
        }
        drop(tail);
        log.prepare_pages();
        assert!(log.wanted_pages.lock().is_empty());
        if number % (between_syncs / length) == between_syncs / length - 1 {
            store.sync().unwrap();
        }
    }
    all
}

const QUICKLY: Duration = Duration::from_micros(50);

#[test]
fn where_puts_follow_each_other_quickly_the_next_pages_are_asked_for_once_each() {
    let asked = asked_for(SyncMode::None, 16 << 20, 1000, QUICKLY);
    assert!(asked.len() >= 8, "{asked:?}");
    for Asked {
        pages, possible, ..
    } in &asked
    {
        assert!(possible.start <= pages.start && pages.end <= possible.end);
        assert!(pages.end - possible.start <= AHEAD + LARGE_PAGE);
    }
    for pair in asked.windows(2) {
        let is_new = pair[0].segment < pair[1].segment;
        assert!(
            is_new || pair[0].pages.end <= pair[1].pages.start,
            "{pair:?}"
        );
    }
    // The first two MiB of each of five segments are made ready by who makes it, or before puts come to it.
    let length: u64 = asked.iter().map(|it| it.pages.end - it.pages.start).sum();
    assert!(length > 6 << 20, "of 16 MiB: {length}");
}

#[test]
fn pages_are_asked_for_up_to_the_end_of_a_large_one_once_all_of_it_has_space() {
    let asked = asked_for(SyncMode::None, 16 << 20, 1000, QUICKLY);
    for it in asked.iter().filter(|it| !it.pages.is_empty()) {
        assert!(it.large, "{it:?}");
        let is_whole = it.pages.end % LARGE_PAGE == 0 || it.pages.end == it.size;
        assert!(is_whole, "{it:?}");
    }
}

#[test]
fn where_syncs_come_often_pages_are_not_large() {
    let asked_at = |pause, bytes| {
        let asked = asked_between_syncs(SyncMode::None, 64 << 20, bytes, 4000, pause);
        asked.into_iter().skip(16)
    };
    let asked_between = |bytes| asked_at(QUICKLY, bytes);
    assert!(asked_between(1 << 20).all(|it| !it.large));
    assert!(asked_between(5 << 20).all(|it| it.large));
    assert!(asked_between(24 << 20).all(|it| it.large));
    let less_quickly = 4 * QUICKLY;
    assert!(asked_at(less_quickly, 5 << 20).all(|it| !it.large));
    assert!(asked_at(less_quickly, 24 << 20).all(|it| it.large));
    // Nor are there more of them than have to be: each sync writes them.
    let ahead = |it: Asked| it.pages.end.saturating_sub(it.possible.start);
    assert!(asked_between(1 << 20).all(|it| ahead(it) <= AHEAD));
}

#[test]
fn where_puts_are_slow_no_pages_are_asked_for() {
    let slow = asked_for(SyncMode::None, 4 << 20, 64_000, Duration::from_millis(10));
    assert_eq!(slow, []);
}

#[test]
fn where_records_are_written_by_calls_no_pages_are_asked_for() {
    let by_calls = asked_for(SyncMode::Always, 4 << 20, 16_000, QUICKLY);
    assert_eq!(by_calls, []);
}
