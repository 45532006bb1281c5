//! Power cuts on real file systems: what four writers had been promised is there when the file system has been mounted again.
//!
//! `make power-test` runs it, as root, since it mounts.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(clippy::disallowed_methods)] // looks at real files directly

#[path = "../support/independent_reader.rs"]
mod independent_reader;
mod mounted;
mod oracle;
#[allow(dead_code)] // this program uses its part
#[path = "../support/random.rs"]
mod random;
#[path = "../support/mod.rs"]
mod support;
mod writers;

use std::path::Path;
use std::time::Duration;

use freyja::store::{Options, Store};
use independent_reader::read_stores;
use mounted::{KINDS, Kind, Mounted};
use oracle::{Floor, State};
use random::Random;
use support::programs::{Way, compiled};
use support::root;

/// Power cuts that a store lives through before another one takes its place.
const CUTS_OF_A_STORE: u64 = 4;

/// Sync mode and read mode, as the program of the writers takes them.
const MODES: [&str; 5] = ["00", "01", "10", "20", "21"];

#[test]
#[ignore = "mounts file systems: make power-test"]
fn campaign_of_power_cuts() {
    let number = |variable, otherwise| {
        std::env::var(variable).map_or(otherwise, |it| it.parse().expect("a number"))
    };
    let (cuts, seed) = (number("FREYJA_CUTS", 120), number("FREYJA_SEED", 1000));
    let program = compiled(Way::Shared, &root().join("tests/power/writers.c"));
    let mut tried = 0;
    for (kind, seed) in KINDS.into_iter().zip(seed..) {
        let Some(mut mounted) = Mounted::new(kind, &program) else {
            continue;
        };
        let cuts = cuts / KINDS.len() as u64;
        let acknowledged = cut_again_and_again(&mut mounted, &program, cuts, seed);
        println!(
            "{kind}: {cuts} power cuts, {acknowledged} durable writes acknowledged, seed {seed}"
        );
        tried += cuts;
    }
    println!("{tried} power cuts survived");
}

/// Cuts the power `cuts` times; answers how many writes had been acknowledged as durable before.
fn cut_again_and_again(mounted: &mut Mounted, program: &Path, cuts: u64, seed: u64) -> u64 {
    let mut random = Random::new(seed);
    let mut acknowledged = 0;
    let mut state = State::default();
    for cut in 0..cuts {
        let mode = MODES[(cut / CUTS_OF_A_STORE) as usize % MODES.len()];
        let store = mounted
            .directory()
            .join(format!("store {}", cut / CUTS_OF_A_STORE));
        if cut % CUTS_OF_A_STORE == 0 {
            state = State::default();
        }
        let what = format!(
            "FREYJA_SEED={seed}, {}, mode {mode}, cut {cut}",
            mounted.kind()
        );
        let delay = Duration::from_micros(5_000 + random.below(120_000));
        let floor = writers::run_until_cut(program, &store, mode, &state, delay, mounted);
        acknowledged += floor.since(&state);
        state = examine(&store, &floor, &what);
    }
    acknowledged
}

/// Reads what a cut has left, with the independent reader first, and holds it against what was promised.
fn examine(store: &Path, floor: &Floor, what: &str) -> State {
    if !store.exists() {
        // The cut came before anything was acknowledged.
        return State::of(&Default::default(), floor, what);
    }
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(store).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let readings = read_stores(&[(copy.path().to_owned(), 0)]);
    let opened = Store::open(store, &Options::default());
    let opened = opened.unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = oracle::contents(&opened);
    let state = State::of(&found, floor, what);
    assert_eq!(
        opened.count(),
        found.len() as u64,
        "{what}: other keys than these"
    );
    let report = opened.recovery_report();
    assert!(
        report.damaged.is_empty() && report.missing_segments == 0,
        "{what}: {report:?}"
    );
    assert!(opened.failure().is_none(), "{what}");
    opened.close().unwrap();
    if let Some(readings) = readings {
        let reading = &readings[0];
        assert!(
            reading.live == found,
            "{what}: the independent reader finds other things"
        );
        assert!(reading.damage.is_empty() && reading.missing == 0, "{what}");
    }
    state
}

impl std::fmt::Display for Kind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.name, self.options)
    }
}
