//! Workloads that are longer than can be enumerated.

use crate::harness::Told;
use crate::harness::crashes::{Counts, crash_everywhere, crash_recoveries};
use crate::harness::history::History;
use crate::harness::operation::Operation;
use crate::harness::setting::Setting;
use crate::harness::workload::Workload;
use crate::random::Random;

/// Runs the workload of `seed`.
pub fn run(seed: u64, random: &mut Random) -> Told<(Setting, History)> {
    // Not drawn, so that older seeds still mean what they meant.
    let prepares = seed.is_multiple_of(2);
    let setting = Setting {
        prepares,
        ..Setting::drawn(random)
    };
    let steps = 5 + random.below(30);
    let mut workload = Workload::new(setting, seed, true)?;
    for _ in 0..steps {
        workload.run(Operation::drawn(random))?;
    }
    Ok((setting, workload.finish()?.0))
}

/// Crashes the workload of `seed` at every call.
pub fn crash_seed(seed: u64) -> Told<Counts> {
    let mut random = Random::new(seed);
    run(seed, &mut random)
        .and_then(|(setting, history)| crash_everywhere(&history, &setting, 4, seed))
        .map_err(|error| format!("FREYJA_SEED={seed}: {error}"))
}

/// Crashes a few of the recoveries that the workload of `seed` may need.
pub fn crash_recoveries_of_seed(seed: u64) -> Told<Counts> {
    let mut random = Random::new(seed);
    let crash = |(setting, history): (Setting, History)| {
        let mut counts = Counts::default();
        for _ in 0..4 {
            counts.add(&crash_recoveries(&history, &setting, 3, &mut random)?);
        }
        Ok(counts)
    };
    run(seed, &mut Random::new(seed))
        .and_then(crash)
        .map_err(|error| format!("FREYJA_SEED={seed}: {error}"))
}

/// Found by a campaign: the books took a delete that had nothing to write, of a key that had expired, for a write that syncs.
const FOUND: [u64; 1] = [20_261_315];

/// The seeds 1 to `count` and those that were found, or the one in `FREYJA_SEED`.
fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("FREYJA_SEED") {
        Ok(seed) => vec![seed.parse().expect("FREYJA_SEED is a number")],
        Err(_) => (1..=count).chain(FOUND).collect(),
    }
}

fn all(seeds: Vec<u64>, crash: impl Fn(u64) -> Told<Counts>) -> Told<Counts> {
    let mut counts = Counts::default();
    for seed in seeds {
        counts.add(&crash(seed)?);
    }
    Ok(counts)
}

/// Crashes the workloads of so many seeds.
pub fn crash_seeds(count: u64) -> Told<Counts> {
    all(seeds(count), crash_seed)
}

/// Crashes recoveries of the workloads of so many seeds.
pub fn crash_recoveries_of_seeds(count: u64) -> Told<Counts> {
    all(seeds(count), crash_recoveries_of_seed)
}
