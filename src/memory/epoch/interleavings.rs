//! A cell under loom, which tries the interleavings of its threads and what each may see of the others: `make model`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crossbeam_epoch::Collector;
use loom::thread;

use super::EpochCell;

/// A value that tells when it was dropped. What it tells is no part of the model.
struct Value {
    number: u32,
    dropped: Arc<AtomicU32>,
}

impl Drop for Value {
    fn drop(&mut self) {
        self.dropped.fetch_or(1 << self.number, Ordering::SeqCst);
    }
}

/// A writer replaces value 0 by 1 and lets the epoch go on; a reader holds what it loaded meanwhile.
#[test]
fn a_value_that_a_reader_holds_is_not_dropped_and_one_that_nobody_holds_is() {
    let seen = Arc::new([const { AtomicU32::new(0) }; 2]);
    let dropped_beside_reader = Arc::new(AtomicU32::new(0));
    loom::model({
        let (seen, dropped_beside_reader) = (seen.clone(), dropped_beside_reader.clone());
        move || {
            let dropped = Arc::new(AtomicU32::new(0));
            let value = |number| Value {
                number,
                dropped: dropped.clone(),
            };
            let collector = Collector::new();
            let cell = loom::sync::Arc::new(<EpochCell<Value>>::new(value(0)));
            let writer = thread::spawn({
                let (collector, cell, next) = (collector.clone(), cell.clone(), value(1));
                move || {
                    let handle = collector.register();
                    cell.store(next, &handle.pin());
                    // Frees what was replaced once every reader has moved on twice.
                    (0..3).for_each(|_| handle.pin().flush());
                }
            });
            {
                let handle = collector.register();
                let guard = handle.pin();
                let held = cell.load(&guard);
                let number = held.number;
                assert_eq!(dropped.load(Ordering::SeqCst) >> number & 1, 0);
                thread::yield_now();
                assert_eq!(dropped.load(Ordering::SeqCst) >> number & 1, 0);
                seen[number as usize].fetch_add(1, Ordering::SeqCst);
                if dropped.load(Ordering::SeqCst) == 1 {
                    dropped_beside_reader.fetch_add(1, Ordering::SeqCst);
                }
            }
            writer.join().unwrap();
            drop((cell, collector));
            assert_eq!(dropped.load(Ordering::SeqCst), 0b11, "nothing leaks");
        }
    });
    // The model is of no use if the threads never meet.
    let seen = [0, 1].map(|number| seen[number].load(Ordering::SeqCst));
    let dropped_beside_reader = dropped_beside_reader.load(Ordering::SeqCst);
    println!(
        "saw the old value {} times, the new one {}, which was freed beside it {dropped_beside_reader} times",
        seen[0], seen[1]
    );
    assert!(seen.iter().all(|&times| times > 0) && dropped_beside_reader > 0);
}
