//! The suites that guard durability notice when it is broken: for each deliberate fault of `freyja::sabotage`, one of
//! them turns red within a bounded amount of work.
#![allow(dead_code)] // each suite is used in part

#[path = "backup.rs"]
mod backup;
#[path = "damage/harness/mod.rs"]
mod damage;
#[path = "crash/exhaustive.rs"]
mod exhaustive;
#[path = "expiry.rs"]
mod expiry;
#[path = "faults.rs"]
mod faults;
#[path = "follow.rs"]
mod follow;
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

/// Part of the suite of crashes where segments are made before they are needed.
fn prepared_suite() -> Told<()> {
    exhaustive::up_to(2, Start::Prepared).map(|_| ())
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

/// The smallest segments, nothing in the background, no images: each open reads the log.
fn small_segments() -> Options {
    Options {
        segment_size: 4096,
        background_threads: 0,
        image_segments: 0,
        ..Options::default()
    }
}

/// A damaged record answers an error, also when its segment has been compacted.
fn laundering_suite() -> Told<()> {
    let disk = SimulatedDisk::new(1);
    let told = |error: freyja::Error| error.to_string();
    let store = open(&disk, &small_segments(), "the store")?;
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
    let store = open(&disk, &small_segments(), "the damaged store")?;
    let compacted = store.compact(|_| true);
    expect(store.stats().compactions > 0, || "nothing compacted".into())?;
    store.close().map_err(told)?;
    drop(store);
    let store = open(&disk, &small_segments(), "the compacted store")?;
    expect(store.get(&damaged).is_err(), || {
        "a damaged value has become a good one".into()
    })?;
    expect(compacted.is_err(), || "nobody hears of the damage".into())
}

/// An expired put hides what was under its key before, also when it has been compacted and that has not.
fn shadow_suite() -> Told<()> {
    let disk = SimulatedDisk::new(1);
    let told = |error: freyja::Error| error.to_string();
    disk.set_wall_clock_ms(1000);
    let store = open(&disk, &small_segments(), "the store")?;
    store.put(b"shadowed", b"old").map_err(told)?;
    // A segment that is live but for one record, and others that are all garbage in the end.
    for number in 0..100_u32 {
        let put = store.put(&number.to_le_bytes(), &[1; 60]);
        put.map_err(told)?;
    }
    let expiring = store.put_expiring(b"shadowed", b"new", 2000);
    expiring.map_err(told)?;
    for round in 0..200_u32 {
        let overwritten = store.put(b"overwritten", &[round as u8; 60]);
        overwritten.map_err(told)?;
    }
    disk.set_wall_clock_ms(3000);
    store.compact(|_| true).map_err(told)?;
    expect(store.stats().compactions > 0, || "nothing compacted".into())?;
    store.close().map_err(told)?;
    drop(store);
    let store = open(&disk, &small_segments(), "the compacted store")?;
    let found = store.get(b"shadowed").map_err(told)?;
    expect(found.is_none(), || "an older put has returned".into())
}

/// Part of the tests of backups.
fn backup_suite() -> Told<()> {
    backup::a_backup_opens_as_the_store_was_and_the_store_goes_on();
    backup::what_a_backup_acknowledged_survives_a_power_loss_whatever_the_sync_mode();
    backup::where_links_are_refused_segments_are_copied();
    backup::a_later_backup_cut_short_anywhere_is_the_older_one_or_can_be_finished();
    Ok(())
}

/// Part of the tests of readers beside a writer.
fn refresh_suite() -> Told<()> {
    follow::missing_records_that_were_durable_are_told_and_not_passed_over();
    follow::a_reader_outlives_a_writer_that_fails_anywhere_and_its_successor();
    follow::readers_see_the_same_while_the_writer_compacts();
    Ok(())
}

/// Part of the tests of pairs that expire.
fn expiry_suite() -> Told<()> {
    expiry::a_clock_that_steps_back_brings_nothing_back();
    expiry::what_was_found_expired_in_a_run_that_wrote_nothing_stays_so_in_the_next();
    expiry::after_a_crash_what_had_expired_when_the_last_segment_was_begun_stays_expired();
    expiry::a_pair_that_has_not_expired_stays_when_all_others_of_its_segment_have();
    Ok(())
}

/// Part of the tests of faults that other stores are known for.
fn footer_suite() -> Told<()> {
    faults::a_footer_whose_sync_failed_is_durable_before_a_merge_says_so();
    Ok(())
}

/// What a panic says.
fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let fixed = panic.downcast_ref::<&str>().map(ToString::to_string);
    let made = || panic.downcast_ref::<String>().cloned();
    fixed.or_else(made).unwrap_or_default()
}

/// `suite` with `fault` fails, by its own judgement or because the store panics.
fn notices(fault: Fault, suite: fn() -> Told<()>) {
    sabotage::set(Some(fault));
    let outcome = catch_unwind(suite);
    sabotage::set(None);
    let complaint = match outcome {
        Ok(Ok(())) => panic!("{fault:?} goes unnoticed"),
        Ok(Err(complaint)) => complaint,
        Err(panic) => words(&*panic),
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
    beginning_a_prepared_segment_before_its_sync: SuccessorUnsynced by prepared_suite
    leaving_the_name_of_a_prepared_segment_unsynced: SuccessorNameUnsynced by prepared_suite
    taking_a_prepared_segment_for_replaced: SuccessorUnlisted by prepared_suite
    an_image_ahead_of_the_log: ImageAheadOfLog by crash_suite
    ignoring_a_failed_sync: SyncErrorIgnored by crash_suite
    retrying_a_failed_sync: SyncRetried by crash_suite
    leaving_the_torn_tail: TailLeft by crash_suite
    keeping_half_a_batch: HalfBatchKept by crash_suite
    trusting_the_cache: CacheTrusted by crash_suite
    trusting_the_footer_of_a_failed_sync: FooterTrusted by footer_suite
    cutting_damage: DamageCut by damage_suite
    forgetting_damage: DamageForgotten by damage_suite
    reading_unchecked: UncheckedRead by damage_suite
    loading_unchecked: UncheckedShard by damage_suite
    deleting_what_is_replaced_early: ReplacedDeletedEarly by crash_suite
    keeping_what_was_replaced: ReplacedKept by crash_suite
    dropping_every_tombstone: TombstonesDropped by crash_suite
    compacting_ahead_of_the_log: CompactedAheadOfLog by crash_suite
    laundering_damage: DamageLaundered by laundering_suite
    dropping_what_has_expired: ExpiredDropped by shadow_suite
    acknowledging_a_backup_before_its_sync: BackupUnsynced by backup_suite
    leaving_the_end_out_of_a_backup: BackupWithoutEnd by backup_suite
    copying_a_part_of_a_file: BackupCopiedInPart by backup_suite
    finishing_a_backup_early: BackupFinishedEarly by backup_suite
    refreshing_half_a_batch: RefreshedInParts by refresh_suite
    refreshing_over_a_gap: RefreshedOverGap by refresh_suite
    refreshing_over_a_compaction: RefreshedOverCompaction by refresh_suite
    forgetting_what_has_expired: ExpiryForgotten by expiry_suite
    dropping_a_segment_too_early: DroppedTooEarly by expiry_suite
    not_writing_down_what_has_expired: ExpiryUnrecorded by expiry_suite
}

#[test]
fn without_a_fault_the_suites_are_green() {
    crash_suite().unwrap();
    prepared_suite().unwrap();
    damage_suite().unwrap();
    laundering_suite().unwrap();
    shadow_suite().unwrap();
    backup_suite().unwrap();
    refresh_suite().unwrap();
    expiry_suite().unwrap();
    footer_suite().unwrap();
}
