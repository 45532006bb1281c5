//! Crashed stores as the independent reader sees them, before any recovery.

use std::path::Path;

use freyja::vfs::{SimulatedDisk, Vfs};

use crate::exhaustive::{Begun, Start, seed_of, sequence, sequences};
use crate::harness::crashes::{crashed, power_losses};
use crate::harness::examination::content;
use crate::harness::history::Map;
use crate::harness::setting::{EXHAUSTIVE, Setting};
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

/// Crashed disks that both read.
#[derive(Default)]
struct Comparison {
    samples: Vec<Sample>,
    compared: u64,
}

impl Comparison {
    /// Lets both read `disk`, which has crashed.
    fn add(&mut self, disk: &SimulatedDisk, setting: &Setting, what: String) {
        let left = disk.crash(freyja::vfs::simulated::Crash::ProcessKill, 0);
        let store = open(disk, &setting.options(), &what).unwrap();
        self.samples.push(Sample {
            disk: left,
            found: content(&store).unwrap(),
            last_sequence: store.stats().last_sequence,
            what,
        });
        if self.samples.len() == BATCH {
            self.compare();
        }
    }

    fn compare(&mut self) {
        self.compared += compare_batch(&std::mem::take(&mut self.samples));
    }

    /// How many there were; 0 without Python 3.
    fn end(mut self) -> u64 {
        self.compare();
        self.compared
    }
}

/// Lets both read `per_seed` crashed disks of the workload of each seed, and compares. Answers how many there were; 0
/// without Python 3.
pub fn compare(seeds: impl Iterator<Item = u64>, per_seed: u64) -> u64 {
    let mut comparison = Comparison::default();
    for seed in seeds {
        let mut random = Random::new(seed);
        let (setting, history) = random_workloads::run(seed, &mut random).unwrap();
        for _ in 0..per_seed {
            let picture = &history.pictures[random.below(history.pictures.len() as u64) as usize];
            let variant = random.below(6);
            let what = format!(
                "FREYJA_SEED={seed}, variant {variant} before call {}",
                picture.call
            );
            comparison.add(&crashed(picture, variant, seed), &setting, what);
        }
    }
    comparison.end()
}

/// Lets both read every crashed disk of every sequence of up to `length` operations after `start`, under every setting.
pub fn compare_sequences(length: u32, start: Start) -> u64 {
    let mut comparison = Comparison::default();
    for (number, setting) in EXHAUSTIVE.iter().enumerate() {
        let begun = Begun::new(start, number).unwrap();
        for length in 0..=length {
            for sequence in (0..sequences(length)).map(|it| sequence(length, it)) {
                let seed = seed_of(&sequence);
                for picture in &begun.run(&sequence).unwrap().pictures {
                    for variant in 0..=power_losses(picture, 3) {
                        let what = format!(
                            "{start:?}-{number}-{sequence:?}, variant {variant} before call {}",
                            picture.call
                        );
                        comparison.add(&crashed(picture, variant, seed), setting, what);
                    }
                }
            }
        }
    }
    comparison.end()
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
