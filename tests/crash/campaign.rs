//! The same for as long as one likes: `make crash-test MINUTES=… SEED=…`.

use std::time::{Duration, Instant};

use crate::exhaustive::{Begun, Start, sequence, sequences};
use crate::harness::crashes::Counts;
use crate::harness::setting::EXHAUSTIVE;
use crate::independent_reader;
use crate::random_workloads::{crash_recoveries_of_seed, crash_seed};
use crate::report;

fn number(variable: &str, otherwise: u64) -> u64 {
    match std::env::var(variable) {
        Ok(number) => number
            .parse()
            .unwrap_or_else(|_| panic!("{variable} is a number")),
        Err(_) => otherwise,
    }
}

fn deadline() -> Instant {
    let minutes: f64 = std::env::var("FREYJA_MINUTES").map_or(1.0, |minutes| {
        minutes.parse().expect("FREYJA_MINUTES is a number")
    });
    Instant::now() + Duration::from_secs_f64(60.0 * minutes)
}

#[test]
#[ignore = "runs as long as it is told: make crash-test"]
fn campaign_of_random_workloads() {
    let (end, first) = (deadline(), number("FREYJA_SEED", 1_000));
    let mut counts = Counts::default();
    let mut compared = 0;
    let mut seed = first;
    while Instant::now() < end {
        counts.add(&crash_seed(seed).unwrap());
        counts.add(&crash_recoveries_of_seed(seed).unwrap());
        seed += 1;
        if seed.is_multiple_of(20) {
            compared += independent_reader::compare(seed - 20..seed, 25);
        }
    }
    let seeds = format!("random workloads of the seeds {first} to {}", seed - 1);
    report(&seeds, &counts);
    println!("{seeds}: {compared} crashed stores also read by the independent reader");
}

/// Some half a million stores for both starts: a quarter of an hour each.
fn read_every_short_sequence(start: Start) {
    let compared = independent_reader::compare_sequences(3, start);
    println!("{start:?}: {compared} crashed stores read by both");
}

#[test]
#[ignore = "takes a quarter of an hour: make reader-test"]
fn readers_agree_on_new_stores() {
    read_every_short_sequence(Start::New);
}

#[test]
#[ignore = "takes three quarters of an hour: make reader-test"]
fn readers_agree_on_used_stores() {
    read_every_short_sequence(Start::Used);
}

#[test]
#[ignore = "runs as long as it is told: make crash-test"]
fn campaign_of_sequences_of_four() {
    let end = deadline();
    let mut begun = Vec::new();
    for setting in 0..EXHAUSTIVE.len() {
        for start in [Start::New, Start::Used, Start::Prepared] {
            begun.push(Begun::new(start, setting).unwrap());
        }
    }
    let total = sequences(4) * begun.len() as u64;
    let mut counts = Counts::default();
    let mut done = 0;
    // A stride that meets every number once, from where the seed says: what there is no time for differs.
    let first = number("FREYJA_SEED", 0);
    while Instant::now() < end && done < total {
        let number = (first + done).wrapping_mul(7_919) % total;
        let starts = begun.len() as u64;
        let begun = &begun[(number % starts) as usize];
        let sequence = sequence(4, number / starts);
        counts.add(&begun.crash_the_end_of(&sequence).unwrap());
        done += 1;
    }
    report(&format!("{done} of {total} sequences of four"), &counts);
}
