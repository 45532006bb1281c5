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
use std::path::Path;

use damage::flips::flip_bits;
use damage::golden::{Ending, Golden};
use exhaustive::Start;
use freyja::sabotage::{self, Fault};
use freyja::store::Options;
use freyja::vfs::simulated::{Crash, SimulatedDisk};
use harness::{STORE, Told, crash_seed, expect, open};

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

/// A damaged record answers an error, also when its segment has been compacted.
fn laundering_suite() -> Told<()> {
    let disk = SimulatedDisk::new(1);
    let options = Options {
        segment_size: 4096,
        background_threads: 0,
        image_segments: 0,
        ..Options::default()
    };
    let told = |error: freyja::Error| error.to_string();
    let store = open(&disk, &options, "the store")?;
    for number in 0..100_u32 {
        let key = number.to_le_bytes();
        store.put(&key, &[1; 60]).map_err(told)?;
        store.put(b"overwritten", &key).map_err(told)?;
    }
    let damaged = 50_u32.to_le_bytes();
    let place = store.locate(&damaged).map_err(told)?;
    let place = place.ok_or("it is there")?;
    store.close().map_err(told)?;
    drop(store);
    let disk = disk.crash(Crash::ProcessKill, crash_seed(1, 1));
    let name = freyja::log::segment_name::file_name(place.segment_id);
    let path = Path::new(STORE).join(name);
    let bytes = disk.read_file(&path);
    let mut bytes = bytes.map_err(|error| error.to_string())?;
    bytes[(place.offset + place.length) as usize - 10] ^= 4;
    let overwritten = disk.overwrite_file(&path, &bytes);
    overwritten.map_err(|error| error.to_string())?;
    let store = open(&disk, &options, "the damaged store")?;
    let compacted = store.compact(|_| true);
    expect(store.stats().compactions > 0, || "nothing compacted".into())?;
    store.close().map_err(told)?;
    drop(store);
    let store = open(&disk, &options, "the compacted store")?;
    expect(store.get(&damaged).is_err(), || {
        "a damaged value has become a good one".into()
    })?;
    expect(compacted.is_err(), || "nobody hears of the damage".into())
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
    deleting_what_is_replaced_early: ReplacedDeletedEarly by crash_suite
    keeping_what_was_replaced: ReplacedKept by crash_suite
    dropping_every_tombstone: TombstonesDropped by crash_suite
    compacting_ahead_of_the_log: CompactedAheadOfLog by crash_suite
    laundering_damage: DamageLaundered by laundering_suite
}

#[test]
fn without_a_fault_the_suites_are_green() {
    crash_suite().unwrap();
    damage_suite().unwrap();
    laundering_suite().unwrap();
}
