use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use super::{Aim, Work};
use crate::error::ErrorKind;
use crate::store::{Compaction, Options, Store, SyncMode};
use crate::vfs::SimulatedDisk;

fn open(disk: &SimulatedDisk) -> Store {
    let options = Options {
        sync_mode: SyncMode::None,
        segment_size: 4096,
        background_threads: 0,
        compaction: Compaction::Manual,
        ..Options::default()
    };
    Store::open_on(Arc::new(disk.clone()), Path::new("/store"), &options).unwrap()
}

/// A store most of which is garbage, closed with an image.
fn wasteful() -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    let store = open(&disk);
    for round in 0..20 {
        for key in 0..30_u8 {
            store.put(&[key], &[round; 100]).unwrap();
        }
    }
    store.close().unwrap();
    disk
}

#[test]
fn a_merge_that_is_stopped_anywhere_is_left_whole() {
    let mut stopped = 0;
    for patience in 0_u32.. {
        let disk = wasteful();
        let store = open(&disk);
        assert!(
            store.stats().shards_absent > 0,
            "else nothing has to be loaded"
        );
        let left = Cell::new(patience);
        let is_cancelled = || {
            let now = left.get();
            left.set(now.saturating_sub(1));
            now == 0
        };
        let work = Work {
            shared: &store.shared,
            contents: store.shared.share_contents(),
            log: store.shared.log().unwrap(),
            is_cancelled: &is_cancelled,
        };
        let merged = work.merge(Aim::Bound);
        for key in 0..30_u8 {
            assert_eq!(store.get(&[key]).unwrap().unwrap()[..], [19; 100]);
        }
        match merged {
            Ok(merged) => {
                assert!(merged.is_some());
                break;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Closed, "{error}"),
        }
        stopped += 1;
    }
    assert!(stopped > 2, "stopped {stopped} times");
}
