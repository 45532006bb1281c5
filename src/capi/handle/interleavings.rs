//! The table of handles under loom, which tries what threads may do to each other: `make model`.

use std::sync::Arc;

use loom::thread;

use super::HandleTable;
use crate::error::ErrorKind;
use crate::memory::epoch;

type Table = HandleTable<u32, 5>;

fn table() -> (Arc<Table>, usize) {
    let table = Arc::new(Table::new());
    let handle = table.insert(1).unwrap();
    (table, handle)
}

#[test]
fn a_handle_never_leads_to_what_came_into_its_slot_later_in_any_interleaving() {
    loom::model(|| {
        let (table, handle) = table();
        // The search for a slot begins with the one that becomes free.
        table.hint.store(0, std::sync::atomic::Ordering::Relaxed);
        let reader = {
            let table = table.clone();
            thread::spawn(move || match table.borrow(handle, &epoch::pin()) {
                Ok(value) => assert_eq!(*value, 1),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Closed),
            })
        };
        assert_eq!(*table.remove(handle).unwrap(), 1);
        let later = table.insert(2).unwrap();
        assert_ne!(later, handle);
        reader.join().unwrap();
        assert_eq!(*table.borrow(later, &epoch::pin()).unwrap(), 2);
    });
}

#[test]
fn of_two_threads_that_remove_a_handle_one_succeeds_in_all_interleavings() {
    loom::model(|| {
        let (table, handle) = table();
        let other = {
            let table = table.clone();
            thread::spawn(move || table.remove(handle).is_ok())
        };
        let own = table.remove(handle).is_ok();
        assert!(own != other.join().unwrap());
    });
}
