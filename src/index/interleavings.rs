//! A table under loom, which tries the interleavings of its writer and a reader and what the reader may see of the
//! writer's stores: `make model`. A page has three lines there: two buckets and a stash.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use loom::thread;

use super::bucket::SLOTS;
use super::encoding::Encoding;
use super::keys::KeyStorage;
use super::probe::{Comparison, Found};
use super::shape::Shape;
use super::table::{Position, Table};
use super::table_memory::TableMemory;
use super::{IndexOptions, Location};
use crate::memory::page_arena::PageArena;
use crate::memory::placed::Placed;

/// What a slot keeps of a key that comes or moves: the bits of both go over several words.
const LOCATION: u64 = 0x1_1111_1111;
const REFERENCE: u32 = 0x12_3456;

fn location(raw: u64) -> Location {
    Location::new(raw).unwrap()
}

fn empty_table() -> Placed<Table> {
    let options = IndexOptions {
        seed: 0,
        slab_page_bytes: 4096,
        expected_keys: 0,
        key_storage: KeyStorage::InMemory,
    };
    let memory = TableMemory::new(&options, PageArena::new(usize::MAX));
    let shape = Shape::for_entries(0);
    let encoding = Encoding::new(shape.main, 0, Location::BITS, None);
    memory.table(shape, encoding).unwrap().0
}

/// A hash with this home bucket and tag.
fn hash(table: &Table, home: usize, tag: u32) -> u64 {
    let encoding = table.encoding();
    let fingerprint = encoding.fingerprint(home, u64::from(tag));
    let hash = fingerprint << (u64::BITS - encoding.fingerprint_bits());
    assert_eq!(table.home(hash), (home, u64::from(tag)));
    hash
}

fn insert(table: &Table, hash: u64, location: Location, reference: u32) {
    let fingerprint = table.encoding().fingerprint_of(hash);
    let place = table.reserve(fingerprint).expect("there is room");
    table.fill(&place, location, reference);
}

/// The entry of the key at [`REFERENCE`]. Whatever else is offered must be another's as a whole.
fn locate(table: &Table, hash: u64) -> Option<Found> {
    let found = table.locate(hash, |reference, location| {
        let own = reference == REFERENCE;
        assert_eq!(own, location.raw() == LOCATION, "half of two entries");
        assert!(own || (reference, location.raw()) == (1, 1));
        if own {
            Comparison::Match(None)
        } else {
            Comparison::Other
        }
    });
    found.unwrap()
}

/// Tries everything with at most so many preemptions.
fn try_all(name: &str, preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let runs = Arc::new(AtomicU64::new(0));
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 100_000;
    builder.preemption_bound = Some(preemptions);
    builder.check({
        let runs = runs.clone();
        move || {
            runs.fetch_add(1, Ordering::Relaxed);
            model();
        }
    });
    let runs = runs.load(Ordering::Relaxed);
    println!("{name}: {runs} runs");
    assert!(runs > 100, "the threads hardly met");
}

#[test]
fn a_location_is_the_old_or_the_new_one_and_never_half_of_each() {
    // They differ in both words in which a slot keeps its location.
    let (old, new) = (location(LOCATION), location(0xe_eeee_eeee));
    try_all("replace", 3, move || {
        let table = empty_table();
        let hash = hash(&table, 0, 7);
        insert(&table, hash, old, REFERENCE);
        let table = loom::sync::Arc::new(table);
        let writer = thread::spawn({
            let table = table.clone();
            move || table.set_location(Position { bucket: 0, slot: 0 }, new)
        });
        let found = table.find(hash, Some);
        assert!(found == Some(old) || found == Some(new), "{found:?}");
        writer.join().unwrap();
        assert_eq!(table.find(hash, Some), Some(new));
    });
}

#[test]
fn a_key_that_comes_is_there_with_its_location_and_reference_or_not_at_all() {
    try_all("insert", 2, || {
        let table = empty_table();
        let hash = hash(&table, 0, 7);
        insert(&table, hash, location(1), 1);
        let table = loom::sync::Arc::new(table);
        let writer = thread::spawn({
            let table = table.clone();
            move || insert(&table, hash, location(LOCATION), REFERENCE)
        });
        locate(&table, hash);
        writer.join().unwrap();
        assert!(locate(&table, hash).is_some());
    });
}

#[test]
fn a_key_that_is_there_throughout_is_never_missed_while_it_moves() {
    try_all("move", 1, || {
        // Up to where the writer begins there is nothing to try.
        loom::stop_exploring();
        let table = empty_table();
        let second = table.other(0, 0);
        assert_ne!(second, 0);
        // All buckets are full; of the second bucket's entries only the guest can go to bucket 0.
        let stays = |tag: &u32| table.other(second, *tag) != 0;
        for home in 0..table.shape().main as usize {
            let tags = (0..).filter(|tag| home != second || stays(tag));
            for tag in tags.take(SLOTS - usize::from(home == second)) {
                insert(&table, hash(&table, home, tag), location(1), 1);
            }
        }
        let guest = hash(&table, 0, 0);
        insert(&table, guest, location(LOCATION), REFERENCE);
        assert_eq!(table.stash_entries(), 0);
        let intruder = hash(&table, second, (0..).find(stays).unwrap());
        let table = loom::sync::Arc::new(table);
        loom::explore();
        let writer = thread::spawn({
            let table = table.clone();
            move || {
                table.clear(hash(&table, 0, 5), Position { bucket: 0, slot: 5 });
                // Pushes the guest home, as it cannot go to bucket 0 itself.
                insert(&table, intruder, location(2), 2);
                assert_eq!(table.moves.load(Ordering::Relaxed), 1);
            }
        });
        assert!(locate(&table, guest).is_some());
        writer.join().unwrap();
        let found = locate(&table, guest).unwrap();
        assert_eq!((found.position.bucket, found.location.raw()), (0, LOCATION));
    });
}
