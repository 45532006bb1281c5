//! A crash at any moment leaves a prefix of the commit order that holds everything acknowledged as durable.
//!
//! Workloads run on a simulated disk that keeps a picture of itself before every call; each picture then crashes in
//! several ways and is recovered. Every failure says how to replay it. `make crash-test` runs the same for as long as
//! one likes. `docs/testing.md` has the figures.
#![allow(clippy::disallowed_methods)] // a campaign looks at the clock

mod exhaustive;
mod harness;
mod independent_reader;
#[path = "../support/random.rs"]
mod random;
mod random_workloads;

mod campaign;

use exhaustive::Start;
use harness::crashes::Counts;

fn report(what: &str, counts: &Counts) {
    println!(
        "{what}: {} pictures; {} crashes recovered: {} kills, {} power losses; {} of them hit a recovery",
        counts.pictures,
        counts.crashes(),
        counts.kills,
        counts.power_losses,
        counts.nested
    );
}

#[test]
fn every_short_sequence_on_a_new_store_survives_every_crash() {
    report("new store", &exhaustive::up_to(3, Start::New).unwrap());
}

#[test]
fn every_short_sequence_on_a_used_store_survives_every_crash() {
    report("used store", &exhaustive::up_to(3, Start::Used).unwrap());
}

#[test]
fn every_short_sequence_that_comes_to_a_prepared_segment_survives_every_crash() {
    report("prepared", &exhaustive::up_to(2, Start::Prepared).unwrap());
}

#[test]
fn sequences_that_once_failed_survive_every_crash() {
    report("once failed", &exhaustive::once_failed().unwrap());
}

#[test]
fn random_workloads_survive_every_crash() {
    report("random", &random_workloads::crash_seeds(60).unwrap());
}

#[test]
fn a_crash_while_recovering_changes_nothing() {
    let counts = random_workloads::crash_recoveries_of_seeds(60).unwrap();
    report("recoveries", &counts);
}

#[test]
fn a_reader_that_shares_no_code_finds_the_same_after_every_crash() {
    let compared = independent_reader::compare(1..=60, 25);
    println!("{compared} crashed stores read by both");
}
