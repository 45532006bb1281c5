use super::*;
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
        let visited = |all: Option<Half>| {
            let mut locations = Vec::new();
            let result = table.for_each_of(all, |stored| {
                if table.half(table.fingerprint(&stored)) == half {
                    locations.extend(stored.location);
                }
                Ok(())
            });
            result.map(|()| locations)
        };
        let of_half = visited(Some(half)).unwrap();
        assert_eq!(of_half, visited(None).unwrap());
        of_halves.extend(of_half);
    }
    of_halves.sort_unstable_by_key(|location| location.raw());
    let all: Vec<Location> = (1..=number).map(location).collect();
    assert_eq!(of_halves, all);
}
