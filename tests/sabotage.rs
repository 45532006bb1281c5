//! The suites that guard durability notice when it is broken: for each deliberate fault of `freyja::sabotage`, one of
//! them turns red within a bounded amount of work.
#![allow(dead_code)] // each suite is used in part

#[path = "damage/harness/mod.rs"]
mod damage;
#[path = "crash/exhaustive.rs"]
mod exhaustive;
#[path = "crash/harness/mod.rs"]
mod harness;
#[path = "support/random.rs"]
mod random;
#[path = "crash/random_workloads.rs"]
mod random_workloads;

use std::panic::catch_unwind;

use damage::flips::flip_bits;
use damage::golden::{Ending, Golden};
use exhaustive::Start;
use freyja::sabotage::{self, Fault};
use harness::Told;

/// A part of the suites, smaller than what `make test` runs.
fn crash_suite() -> Told<()> {
    exhaustive::up_to(2, Start::New)?;
    exhaustive::up_to(2, Start::Used)?;
    random_workloads::crash_seeds(10)?;
    random_workloads::crash_recoveries_of_seeds(10)?;
    Ok(())
}

/// A part of the suite of damage.
fn damage_suite() -> Told<()> {
    for ending in [Ending::Closed, Ending::WithoutImages, Ending::Killed] {
        let golden = Golden::new(ending, 1);
        flip_bits(&golden, ".seg", 499)?;
        flip_bits(&golden, ".img", 61)?;
    }
    Ok(())
}

/// `suite` with `fault` fails, by its own judgement or because the store panics.
fn notices(fault: Fault, suite: fn() -> Told<()>) {
    sabotage::set(Some(fault));
    let outcome = catch_unwind(suite);
    sabotage::set(None);
    let complaint = match outcome {
        Ok(Ok(())) => panic!("{fault:?} goes unnoticed"),
        Ok(Err(complaint)) => complaint,
        Err(_) => "the store panicked".into(),
    };
    println!("{fault:?}: {complaint}");
}

macro_rules! noticed {
    ($($test:ident: $fault:ident by $suite:ident)*) => {
        $(
            #[test]
            fn $test() {
                notices(Fault::$fault, $suite);
            }
        )*
    };
}

noticed! {
    no_sync: NoSync by crash_suite
    no_directory_sync: NoDirectorySync by crash_suite
    only_the_first_directory_sync: FirstDirectorySyncOnly by crash_suite
    acknowledging_before_the_sync: AcknowledgedBeforeSync by crash_suite
    renaming_before_the_sync: RenamedBeforeSync by crash_suite
    an_image_ahead_of_the_log: ImageAheadOfLog by crash_suite
    ignoring_a_failed_sync: SyncErrorIgnored by crash_suite
    retrying_a_failed_sync: SyncRetried by crash_suite
    leaving_the_torn_tail: TailLeft by crash_suite
    keeping_half_a_batch: HalfBatchKept by crash_suite
    trusting_the_cache: CacheTrusted by crash_suite
    cutting_damage: DamageCut by damage_suite
    forgetting_damage: DamageForgotten by damage_suite
    reading_unchecked: UncheckedRead by damage_suite
    loading_unchecked: UncheckedShard by damage_suite
}

#[test]
fn without_a_fault_the_suites_are_green() {
    crash_suite().unwrap();
    damage_suite().unwrap();
}
