//! Every call of the disk fails, one after the other, in every way: nothing acknowledged is lost, the error is the right
//! one and comes soon, reading goes on, and the next open works.
//!
//! `make test` tries every call of every scenario, each with some of the errors; `make fault-test` tries all. A failure says
//! what replays it. `docs/testing.md` has the figures.
#![allow(clippy::disallowed_methods)] // a watchdog looks at the clock

mod judge;
mod model;
mod scenario;
mod space;
mod sweep;
mod watchdog;

use sweep::{Amount, sweep};

/// One in so many of the ways in which a call can fail; a prime, so that all take their turn.
const SAMPLE: u64 = 29;

#[test]
fn no_failing_call_loses_what_was_acknowledged() {
    sweep(Amount::OneIn(SAMPLE));
}

#[test]
#[ignore = "takes many minutes; make fault-test"]
fn no_failing_call_loses_what_was_acknowledged_whatever_the_error() {
    sweep(Amount::All);
}
