//! What an index answers that has to compare with records that are damaged or cannot be read.

use super::*;

fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// An index with keys on disk that holds a hundred of them, of which `b"hit"` is at location 1000.
fn model() -> Model {
    let mut model = Model::new(&options(KeyStorage::OnDisk));
    for number in 0..100_u64 {
        model.put(&number.to_le_bytes(), location(number + 1));
    }
    model.put(b"hit", location(1000));
    model
}

#[test]
fn a_damaged_record_is_an_error_unless_the_key_is_found_elsewhere() {
    let model = model();
    let guard = epoch::pin();
    let hash = model.index.hash(b"hit");
    let damaged = Record::Damaged(b"hat".to_vec());
    model.log.write(location(1000), damaged);
    let damage = Some(ErrorKind::Corrupt);
    assert_eq!(kind(model.index.locate(&guard, hash, b"hit")), damage);
    assert_eq!(kind(model.index.contains(&guard, hash, b"hit")), damage);
    assert_eq!(kind(model.index.occupied(&guard, hash, b"hit")), damage);

    let entry = model.index.entry(&guard, hash, b"hit", 12).unwrap();
    let Entry::Vacant(vacant) = entry else {
        panic!("a damaged record does not count");
    };
    let newer = location(1001);
    model.log.write(newer, Record::Intact(b"hit".to_vec()));
    vacant.insert(newer);
    assert_eq!(
        model.index.locate(&guard, hash, b"hit").unwrap(),
        Some(newer)
    );
    match model.index.entry(&guard, hash, b"hit", 12).unwrap() {
        Entry::Occupied(occupied) => assert_eq!(occupied.location(), newer),
        Entry::Vacant(_) => panic!("the newer record is there"),
    }
    let occupied = model.index.occupied(&guard, hash, b"hit").unwrap();
    occupied.unwrap().remove();
    assert_eq!(kind(model.index.contains(&guard, hash, b"hit")), damage);
    for key in model.map.keys().filter(|key| *key != b"hit") {
        model.check_key(key);
    }
}

#[test]
fn a_damaged_record_whose_key_still_reads_is_the_keys() {
    let mut model = model();
    model
        .log
        .write(location(1000), Record::Damaged(b"hit".to_vec()));
    model.check_key(b"hit");
    model.put(b"hit", location(1001));
    model
        .log
        .write(location(1001), Record::Damaged(b"hit".to_vec()));
    model.remove(b"hit");
    model.check();
}

#[test]
fn a_record_that_cannot_be_read_stops_a_write_which_would_else_add_the_key_twice() {
    let model = model();
    let guard = epoch::pin();
    let hash = model.index.hash(b"hit");
    model.log.write(location(1000), Record::Unreadable);
    let failure = Some(ErrorKind::Io);
    assert_eq!(kind(model.index.entry(&guard, hash, b"hit", 12)), failure);
    assert_eq!(kind(model.index.occupied(&guard, hash, b"hit")), failure);
    assert_eq!(kind(model.index.locate(&guard, hash, b"hit")), failure);
    model
        .log
        .write(location(1000), Record::Intact(b"hit".to_vec()));
    model.check();
}

/// The log is at its largest from the beginning, so that tags soon are few.
fn fill_late(model: &mut Model, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let place = location((1 << Location::BITS) - 1 - number);
        model.put(&number.to_le_bytes(), place);
    }
}

#[test]
fn tags_become_no_fewer_than_two_thousand_because_keys_are_hashed_again() {
    for key_storage in STORAGES {
        let mut model = Model::new(&options(key_storage));
        fill_late(&mut model, 0..100_000);
        let guard = epoch::pin();
        let table = model.index.table(&guard, 0);
        assert!(table.encoding().tags() >= 1 << 11);
        let read = model.log.read.load(Ordering::Relaxed);
        match key_storage {
            KeyStorage::InMemory => assert_eq!(read, 0),
            // Once a doubling, and never all at once.
            KeyStorage::OnDisk => assert!(read > 0 && read < 200_000, "{read} keys read"),
        }
        model.check();
    }
}

#[test]
fn a_table_one_of_whose_keys_cannot_be_read_gets_by_with_fewer_tags() {
    let mut model = Model::new(&options(KeyStorage::OnDisk));
    fill_late(&mut model, 0..100);
    for number in 0..100_u64 {
        let damaged = Record::Damaged(b"something else".to_vec());
        model
            .log
            .write(location((1 << Location::BITS) - 1 - number), damaged);
    }
    fill_late(&mut model, 100..60_000);
    for number in 100..60_000_u64 {
        model.check_key(&number.to_le_bytes());
    }
    let guard = epoch::pin();
    for number in 0..100_u64 {
        let key = number.to_le_bytes();
        let located = model.index.locate(&guard, model.index.hash(&key), &key);
        assert_eq!(kind(located), Some(ErrorKind::Corrupt));
    }
}

#[test]
fn keys_that_are_not_there_rarely_cost_a_look_at_the_log() {
    for late in [false, true] {
        let mut model = Model::new(&options(KeyStorage::OnDisk));
        let count = 120_000;
        match late {
            true => fill_late(&mut model, 0..count),
            false => (0..count).for_each(|number| {
                model.put(&number.to_le_bytes(), location(8 * number + 4));
            }),
        }
        let before = model.log.compared.load(Ordering::Relaxed);
        let guard = epoch::pin();
        for number in count..2 * count {
            let key = number.to_le_bytes();
            let absent = model.index.contains(&guard, model.index.hash(&key), &key);
            assert!(!absent.unwrap());
        }
        let compared = model.log.compared.load(Ordering::Relaxed) - before;
        println!("{compared} of {count}, late {late}");
        let allowed = if late { count / 150 } else { count / 2000 };
        assert!(compared <= allowed, "{compared} looks for {count} keys");
    }
}
