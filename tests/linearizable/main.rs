//! Threads that use a store at the same time: what each of them saw can be explained by an order in which the calls happened
//! one after the other, each between its beginning and its end.
//!
//! That is checked key by key, for batches and gets of many keys as well, of which a reader of single keys may see parts. What
//! they promise besides, that a get of many keys sees all of a batch or nothing, is checked on its own.
#![allow(clippy::disallowed_methods)] // histories need a clock

mod checker;
mod history;
#[path = "../support/random.rs"]
#[allow(dead_code)] // shared with others, who use more of it
mod random;

use checker::{Action, Event, explain};
use history::{Setting, batches_and_readers, mixed};

/// Histories of mixed calls, and of batches, for each of the settings; answers how many events were checked.
fn check(seeds: std::ops::Range<u64>) -> usize {
    let mut events = 0;
    for seed in seeds {
        let setting = Setting::number(seed);
        for (key, history) in mixed(setting, seed).into_iter().enumerate() {
            events += history.len();
            if let Err(stuck) = explain(&history) {
                panic!(
                    "FREYJA_SEED={seed}, {setting:?}, key {key}: no order explains {stuck:?} in {history:#?}"
                );
            }
        }
        let history = batches_and_readers(setting, seed);
        events += history.len();
        if let Err(stuck) = explain(&history) {
            panic!(
                "FREYJA_SEED={seed}, {setting:?}, batches: no order explains {stuck:?} in {history:#?}"
            );
        }
    }
    events
}

fn number(variable: &str, otherwise: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(otherwise, |text| text.parse().unwrap())
}

#[test]
fn what_threads_see_at_the_same_time_has_an_order() {
    let first = number("FREYJA_SEED", 0);
    let events = check(first..first + 60);
    println!("60 stores, {events} calls");
}

#[test]
#[ignore = "runs as long as one likes; make concurrency-test"]
fn what_threads_see_at_the_same_time_has_an_order_for_long() {
    let begun = std::time::Instant::now();
    let minutes = number("FREYJA_MINUTES", 1);
    let (mut seed, mut events) = (number("FREYJA_SEED", 1000), 0);
    let first = seed;
    while begun.elapsed().as_secs() < 60 * minutes {
        events += check(seed..seed + 10);
        seed += 10;
    }
    println!("{} stores, {events} calls", seed - first);
}

fn event(begin: u64, end: u64, action: Action) -> Event {
    Event { begin, end, action }
}

#[test]
fn the_checker_finds_the_order_of_calls_that_overlap() {
    use Action::{Delete, Put, Read};
    let overlapping = [
        event(0, 10, Put(1)),
        event(1, 9, Put(2)),
        event(2, 3, Read(Some(2))),
        event(4, 5, Read(Some(1))),
        event(11, 12, Delete(true)),
        event(11, 14, Read(Some(1))),
        event(13, 15, Read(None)),
    ];
    assert_eq!(explain(&overlapping), Ok(()));
}

#[test]
fn the_checker_notices_old_lost_and_flickering_values() {
    use Action::{Delete, Put, Read};
    let old = [
        event(0, 1, Put(1)),
        event(2, 3, Put(2)),
        event(4, 5, Read(Some(1))),
    ];
    let lost = [event(0, 1, Put(1)), event(2, 3, Read(None))];
    let flickering = [
        event(0, 9, Put(1)),
        event(1, 2, Read(Some(1))),
        event(3, 4, Read(None)),
    ];
    let resurrected = [
        event(0, 1, Put(1)),
        event(2, 3, Delete(true)),
        event(4, 5, Read(Some(1))),
    ];
    let deleted_twice = [
        event(0, 1, Put(1)),
        event(2, 9, Delete(true)),
        event(3, 8, Delete(true)),
    ];
    let from_nowhere = [event(0, 1, Put(1)), event(0, 2, Read(Some(7)))];
    for history in [
        &old[..],
        &lost,
        &flickering,
        &resurrected,
        &deleted_twice,
        &from_nowhere,
    ] {
        assert!(explain(history).is_err(), "{history:?}");
    }
}
