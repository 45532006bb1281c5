//! Crashed stores as the independent reader sees them, before any recovery.

use std::path::Path;

use freyja::vfs::{SimulatedDisk, Vfs};

use crate::harness::crashes::crashed;
use crate::harness::examination::content;
use crate::harness::history::Map;
use crate::harness::{STORE, open};
use crate::random::Random;
use crate::random_workloads;

#[path = "../support/independent_reader.rs"]
mod reader;

/// Stores read at a time.
const BATCH: usize = 500;

struct Sample {
    disk: SimulatedDisk,
    found: Map,
    last_sequence: u64,
    what: String,
}

/// Lets both read `per_seed` crashed disks of the workload of each seed, and compares. Answers how many there were; 0
/// without Python 3.
pub fn compare(seeds: impl Iterator<Item = u64>, per_seed: u64) -> u64 {
    let mut samples = Vec::new();
    let mut compared = 0;
    for seed in seeds {
        let mut random = Random::new(seed);
        let (setting, history) = random_workloads::run(seed, &mut random).unwrap();
        for _ in 0..per_seed {
            let picture = &history.pictures[random.below(history.pictures.len() as u64) as usize];
            let variant = random.below(6);
            let disk = crashed(picture, variant, seed);
            let call = picture.call;
            let what = format!("FREYJA_SEED={seed}, variant {variant} before call {call}");
            let left = disk.crash(freyja::vfs::simulated::Crash::ProcessKill, 0);
            let store = open(&disk, &setting.options(), &what).unwrap();
            samples.push(Sample {
                disk: left,
                found: content(&store).unwrap(),
                last_sequence: store.stats().last_sequence,
                what,
            });
            if samples.len() == BATCH {
                compared += compare_batch(&std::mem::take(&mut samples));
            }
        }
    }
    compared + compare_batch(&samples)
}

fn compare_batch(samples: &[Sample]) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let directories = samples.iter().enumerate().map(|(number, sample)| {
        let directory = folder.path().join(number.to_string());
        reader::copy_store(&sample.disk, Path::new(STORE), &directory);
        (directory, sample.disk.wall_clock_ms())
    });
    let Some(readings) = reader::read_stores(&directories.collect::<Vec<_>>()) else {
        return 0;
    };
    for (sample, reading) in samples.iter().zip(&readings) {
        let what = &sample.what;
        assert_eq!(reading.live, sample.found, "{what}: another state");
        assert_eq!(reading.last_sequence, sample.last_sequence, "{what}");
        let nothing = (&Default::default(), &Vec::new(), 0);
        let damage = (&reading.lost, &reading.damage, reading.missing);
        assert_eq!(damage, nothing, "{what}: a crash is taken for damage");
    }
    samples.len() as u64
}
