use std::path::Path;
use std::sync::Arc;

use crate::store::{Options, Store, SyncMode};
use crate::vfs::SimulatedDisk;

/// Compares what is counted with what a look at every segment finds.
fn expect_counted(store: &Store) -> u64 {
    let contents = store.shared.share_contents();
    let counted = contents.segments.content_bytes();
    assert_eq!(counted, contents.segments.totals().content_bytes);
    counted
}

#[test]
fn bytes_of_all_segments_are_counted_as_they_come_and_go() {
    let disk = SimulatedDisk::new(1);
    let options = Options {
        segment_size: 4096,
        sync_mode: SyncMode::None,
        background_threads: 0,
        ..Options::default()
    };
    let open = || Store::open_on(Arc::new(disk.clone()), Path::new("/store"), &options).unwrap();
    let store = open();
    assert_eq!(expect_counted(&store), 0);
    for number in 0..500_u32 {
        store.put(&(number % 150).to_le_bytes(), &[1; 90]).unwrap();
        expect_counted(&store);
    }
    let before = expect_counted(&store);
    store.compact(|_| true).unwrap();
    assert!(expect_counted(&store) < before / 2);
    store.close().unwrap();
    let store = open();
    assert!(expect_counted(&store) > 0);
    for number in 0..150_u32 {
        store.delete(&number.to_le_bytes()).unwrap();
    }
    store.compact(|_| true).unwrap();
    assert!(expect_counted(&store) < 4096);
}
