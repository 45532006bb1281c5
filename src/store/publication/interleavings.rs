//! The publication of batches under loom, which tries what its threads may do to each other and what each may see of the
//! others: `make model`.

use std::sync::Arc;
use std::sync::atomic::AtomicU32 as Count;

use loom::thread;

use super::Publication;
use crate::memory::sync::atomic::{AtomicU64, Ordering};

/// Two places of the index that batches write together.
struct Pairs {
    publication: Publication,
    values: [AtomicU64; 2],
}

impl Pairs {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            publication: Publication::default(),
            values: [AtomicU64::new(0), AtomicU64::new(0)],
        })
    }

    fn publish(&self, number: u64) {
        self.publication.publish(|| {
            for value in &self.values {
                value.store(number, Ordering::Relaxed);
            }
        });
    }

    /// The number of the batch that is seen, and how often it was looked.
    fn observe(&self) -> (u64, u32) {
        let mut looks = 0;
        let [first, second] = self.publication.observe(|| {
            looks += 1;
            [0, 1].map(|place: usize| self.values[place].load(Ordering::Relaxed))
        });
        assert_eq!(first, second, "half of a batch");
        (first, looks)
    }
}

#[test]
fn gets_of_many_keys_see_a_batch_whole_or_not_at_all_in_all_interleavings() {
    let seen = Arc::new([const { Count::new(0) }; 2]);
    let disturbed = Arc::new(Count::new(0));
    loom::model({
        let (seen, disturbed) = (seen.clone(), disturbed.clone());
        move || {
            let pairs = Pairs::new();
            let writer = thread::spawn({
                let pairs = pairs.clone();
                move || pairs.publish(1)
            });
            let (number, looks) = pairs.observe();
            writer.join().unwrap();
            assert_eq!(pairs.observe(), (1, 1), "nobody is publishing any more");
            seen[number as usize].fetch_add(1, Ordering::Relaxed);
            disturbed.fetch_add(u32::from(looks > 1), Ordering::Relaxed);
        }
    });
    // The model is of no use if the threads never meet.
    let seen = [0, 1].map(|number| seen[number].load(Ordering::Relaxed));
    let disturbed = disturbed.load(Ordering::Relaxed);
    println!("saw {seen:?} times each, and had to look again {disturbed} times");
    assert!(seen.iter().all(|&times| times > 0) && disturbed > 0);
}

#[test]
fn batches_of_two_writers_never_mix_in_any_interleaving() {
    loom::model(|| {
        let pairs = Pairs::new();
        let writer = thread::spawn({
            let pairs = pairs.clone();
            move || pairs.publish(1)
        });
        pairs.publish(2);
        let (number, _) = pairs.observe();
        assert!(number > 0);
        writer.join().unwrap();
        pairs.observe();
    });
}
