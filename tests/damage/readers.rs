//! Damaged stores as the independent reader sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use freyja::store::Store;
use freyja::vfs::SimulatedDisk;

use crate::harness::golden::{Golden, KEYS, STORE, key, options};
use crate::harness::{overwrite, remove};
use crate::random::Random;

#[path = "../support/independent_reader.rs"]
mod independent_reader;
use independent_reader::{Reading, copy_store, read_stores};

/// Lets both read `count` copies of `golden`, each with a flipped bit or, one in eight, cut. Answers how many there were.
pub fn compare(golden: &Golden, count: u64, seed: u64) -> u64 {
    let mut random = Random::new(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut stores = Vec::new();
    for number in 0..count {
        let disk = golden.copy();
        // With an image not all that is damaged is read at once.
        for (name, _) in golden.files.iter().filter(|(it, _)| !it.ends_with(".seg")) {
            remove(&disk, name).unwrap();
        }
        let what = damage(golden, &disk, &mut random);
        let directory = folder.path().join(number.to_string());
        copy_store(&disk, Path::new(STORE), &directory);
        let reading = as_the_library_reads(golden, &disk);
        stores.push((directory, reading, what));
    }
    let directories: Vec<_> = stores.iter().map(|(it, _, _)| (it.clone(), 0)).collect();
    let Some(readings) = read_stores(&directories) else {
        return 0;
    };
    for ((_, expected, what), mut found) in stores.iter().zip(readings) {
        // Opening seals a cut segment behind the padding that was cut with it, and reports what it reads then.
        for (_, _, length) in &mut found.damage {
            *length = length.next_multiple_of(16);
        }
        // A flipped bit of a key may spell one that never was, for which the library is not asked.
        found.lost.retain(|key| golden.versions.contains_key(key));
        let ending = golden.ending;
        assert!(
            found == *expected,
            "seed {seed}, {ending:?}, {what}: the reader finds {found:?}, the library {expected:?}"
        );
    }
    count
}

fn damage(golden: &Golden, disk: &SimulatedDisk, random: &mut Random) -> String {
    let segments: Vec<_> = golden.segments().collect();
    let (name, bytes) = segments[random.below(segments.len() as u64) as usize];
    let position = random.below(bytes.len() as u64) as usize;
    let mut damaged = bytes.clone();
    let what = if random.below(8) == 0 {
        damaged.truncate(position);
        format!("{name} cut to {position} bytes")
    } else {
        let bit = random.below(8);
        damaged[position] ^= 1 << bit;
        format!("{name}, byte {position}, bit {bit}")
    };
    overwrite(disk, name, &damaged).unwrap();
    what
}

fn as_the_library_reads(golden: &Golden, disk: &SimulatedDisk) -> Reading {
    let options = options(golden.ending);
    let store = Store::open_on(Arc::new(disk.clone()), Path::new(STORE), &options).unwrap();
    let report = store.recovery_report();
    let damage = report.damaged.iter().map(|span| {
        let name = span.path.file_name().unwrap().to_string_lossy();
        (
            name.into_owned(),
            span.offset,
            span.length.next_multiple_of(16),
        )
    });
    let mut reading = Reading {
        expired: BTreeSet::new(),
        damage: damage.collect(),
        missing: report.missing_segments,
        last_sequence: report.last_sequence,
        live: BTreeMap::new(),
        lost: BTreeSet::new(),
    };
    for key in (0..KEYS).map(key) {
        match store.get(&key) {
            Ok(Some(value)) => {
                reading.live.insert(key, value);
            }
            Ok(None) => {}
            Err(_) => {
                reading.lost.insert(key);
            }
        }
    }
    reading
}
