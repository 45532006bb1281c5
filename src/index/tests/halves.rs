use super::*;
use crate::index::carried::Carriage;
use crate::index::table::Half;

#[test]
fn each_entry_of_a_half_is_met_once_on_the_way_through_it() {
    let index = Index::new(&options(KeyStorage::OnDisk), Arc::new(Log::default())).unwrap();
    let guard = epoch::pin();
    let mut random = Random::new(43);
    // Hashes instead of keys: a reader that is never asked, and entries that differ.
    let mut number = 0_u64;
    let mut in_stash = 0;
    while in_stash == 0 || number < 5000 {
        number += 1;
        assert!(number < 30_000, "a full table uses its stash");
        let hash = random.next();
        let vacant = index.entry(&guard, hash, b"", 16);
        match vacant.unwrap() {
            Entry::Vacant(entry) => entry.insert(location(number)),
            Entry::Occupied(_) => panic!("no two tags are the same"),
        }
        in_stash = index.statistics().stash_entries;
    }
    let table = index.table(&guard, 0);
    let mut of_halves = Vec::new();
    for half in [Half::Lower, Half::Upper] {
        let met = |of: Option<Half>| {
            let mut carriage = Carriage::new();
            let mut met = Vec::new();
            for bucket in 0..table.stash().end {
                carriage.load(table, bucket, of);
                met.extend_from_slice(carriage.entries());
            }
            met
        };
        let of_half = met(Some(half));
        let mut of_all = met(None);
        of_all.retain(|entry| table.half(entry.fingerprint) == half);
        assert_eq!(of_half, of_all);
        let of_half = of_half.iter().filter_map(|entry| entry.location);
        of_halves.extend(of_half);
    }
    of_halves.sort_unstable_by_key(|location| location.raw());
    let all: Vec<Location> = (1..=number).map(location).collect();
    assert_eq!(of_halves, all);
}
