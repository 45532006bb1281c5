use super::*;
use crate::index::bucket::{Bucket, Overflow, SLOTS};
use crate::index::encoding::Encoding;
use crate::index::shape::Shape;

/// Bits of the locations in these tests.
const LOCATION_BITS: u32 = 32;

/// Keys say their hash themselves.
struct Told;

impl KeyHash for Told {
    fn hash(&self, key: &[u8]) -> u64 {
        u64::from_le_bytes(key[..8].try_into().unwrap())
    }
}

/// A key that has this home bucket and tag in the smallest table.
fn key(home: u32, tag: u32, number: u8) -> Vec<u8> {
    let encoding = Encoding::new(buckets(), 0, LOCATION_BITS, None);
    let fingerprint = encoding.fingerprint(home as usize, u64::from(tag));
    let hash = fingerprint << (u64::BITS - encoding.fingerprint_bits()) | 1;
    [&hash.to_le_bytes()[..], &[number]].concat()
}

fn model(key_storage: KeyStorage) -> Model<Told> {
    let model = Model::with_hash(&options(key_storage), Told);
    let guard = epoch::pin();
    let key = key(0, 0, 0);
    // The table is empty and takes on this many bits.
    let entry = model
        .index
        .entry(&guard, model.index.hash(&key), &key, LOCATION_BITS);
    drop(entry.unwrap());
    model
}

fn buckets() -> u32 {
    Shape::for_entries(0).main
}

/// The tag of the guest, and of the native in the last slot of bucket 0: who has seen that one and goes on does not come
/// across a guest who has moved into another slot there.
const GUEST_TAG: u32 = SLOTS as u32 - 1;

/// An index whose buckets are all full, each of keys that are at home there; only `guest`, whose home is bucket
/// 0, sits in its second bucket, the answer.
fn full_index(model: &mut Model<Told>, guest: &[u8]) -> u32 {
    let guard = epoch::pin();
    let second = model.index.table(&guard, 0).other(0, GUEST_TAG) as u32;
    assert_ne!(second, 0);
    for home in 0..buckets() {
        // The native of the guest's tag is left out there: its second bucket would be bucket 0, like the guest's home.
        let tags = (0..SLOTS as u32).filter(|&tag| (home, tag) != (second, GUEST_TAG));
        for tag in tags {
            let raw = u64::from(home << 12 | tag) + 1;
            model.put(&key(home, tag, 0), location(raw));
        }
    }
    model.put(guest, location(1 << 30));
    assert_eq!(model.index.statistics().stash_entries, 0);
    second
}

#[test]
fn a_reader_finds_a_key_that_moves_home_behind_his_back() {
    let model = &mut model(KeyStorage::InMemory);
    let guest = key(0, GUEST_TAG, 1);
    let second = full_index(model, &guest);
    let hash = model.index.hash(&guest);
    let (victim, intruder) = (key(0, 5, 0), key(second, 100, 0));
    let moves = |model: &Model<Told>| {
        let guard = epoch::pin();
        model
            .index
            .table(&guard, 0)
            .moves
            .load(std::sync::atomic::Ordering::Relaxed)
    };
    assert_eq!(moves(model), 0);
    let mut seen = Vec::new();
    let mut disturbed = false;
    let guard = epoch::pin();
    let found = model.index.find(&guard, hash, |candidate| {
        seen.push(candidate);
        if !disturbed {
            // The reader has seen the guest's home, and not its second bucket yet.
            disturbed = true;
            let entry = model
                .index
                .occupied(&guard, model.index.hash(&victim), &victim);
            entry.unwrap().unwrap().remove();
            match model
                .index
                .entry(
                    &guard,
                    model.index.hash(&intruder),
                    &intruder,
                    LOCATION_BITS,
                )
                .unwrap()
            {
                Entry::Occupied(_) => panic!("the intruder is new"),
                Entry::Vacant(entry) => entry.insert(location(1 << 31)),
            }
        }
        (candidate == location(1 << 30)).then_some(candidate)
    });
    assert_eq!(moves(model), 1, "the intruder pushed the guest home");
    assert_eq!(found, Some(location(1 << 30)));
    assert_eq!(
        seen.len(),
        2,
        "the native of the same tag, then, looking again, the guest in a slot before it: {seen:?}"
    );
    model.map.remove(&victim);
    model.map.insert(intruder, location(1 << 31));
    model.check();
}

#[test]
fn keys_that_were_pushed_around_are_removed_without_leaving_a_trace() {
    for key_storage in STORAGES {
        push_around_and_remove(&mut model(key_storage));
    }
}

fn push_around_and_remove(model: &mut Model<Told>) {
    let guest = key(0, GUEST_TAG, 1);
    let second = full_index(model, &guest);
    for round in 0..if cfg!(miri) { 1 } else { 20 } {
        model.remove(&key(0, 5, 0));
        model.put(&key(second, 100, round), location(1 << 31));
        model.check_key(&guest);
        model.remove(&key(second, 100, round));
        model.remove(&guest);
        model.put(&key(0, 5, 0), location(6));
        model.put(&guest, location(1 << 30));
        model.check();
    }
    let keys: Vec<_> = model.map.keys().cloned().collect();
    keys.iter().for_each(|key| model.remove(key));
    model.check();
    let guard = epoch::pin();
    let table = model.index.table(&guard, 0);
    for bucket in 0..buckets() as usize {
        let bucket = Bucket::load(table.line(bucket));
        assert_eq!(bucket.overflow(Overflow::Second), 0);
        assert_eq!(bucket.overflow(Overflow::Stash), 0);
    }
}
