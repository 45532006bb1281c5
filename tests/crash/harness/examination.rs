//! Recovers a crashed store and judges what is found.

use std::ops::RangeInclusive;
use std::path::Path;

use freyja::store::{ImageFault, OpenMode, Options, RecoveryWay, Store, SyncMode};
use freyja::vfs::Vfs;
use freyja::vfs::simulated::{Crash, Operation as DiskOperation, SimulatedDisk};

use super::history::{Map, State, readable};
use super::operation::all_keys;
use super::setting::Setting;
use super::{STORE, Told, crash_seed, expect, open};

/// Everything in `store`, of the keys that workloads use.
pub fn content(store: &Store) -> Told<Map> {
    let mut map = Map::new();
    for key in all_keys() {
        let value = store.get(&key).map_err(|error| error.to_string())?;
        map.extend(value.map(|value| (key, value)));
    }
    Ok(map)
}

/// How much is tried after the state has been judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Recovery without images, and once more after a power loss right after recovery.
    Usual,
    /// Also opening for reading only, and going on writing.
    Thorough,
}

/// Recovers `crashed`, in which one of `states` that is `allowed` must be found; answers which one, the newest if
/// several are the same. What further crashes do follows from `seed`.
pub fn examine(
    crashed: &SimulatedDisk,
    setting: &Setting,
    states: &[State],
    allowed: RangeInclusive<usize>,
    effort: Effort,
    seed: u64,
) -> Told<usize> {
    let options = &setting.options();
    let before = copy(crashed);
    let store = open(crashed, options, "the crashed store")?;
    let found = content(&store)?;
    let now = crashed.wall_clock_ms();
    let is_found = |it: &usize| {
        // Expired keys are counted as long as they are stored; compaction lets them go.
        let counts = found.len()..=states[*it].len();
        readable(&states[*it], now) == found && counts.contains(&(store.count() as usize))
    };
    let state = allowed.clone().rev().find(is_found);
    let state = state.ok_or_else(|| {
        let elsewhere = (0..states.len()).rev().find(is_found);
        match elsewhere {
            Some(other) => format!("found state {other}, allowed are {allowed:?}"),
            None => format!(
                "found a state that never was, or {} keys, counted as {}; allowed are {allowed:?}",
                found.len(),
                store.count()
            ),
        }
    })?;
    expect(store.failure().is_none(), || {
        format!("a crash is taken for damage: {:?}", store.failure())
    })?;
    let fault = store.recovery_report().image_fault;
    expect(fault != ImageFault::NewerThanLog, || {
        "an image is newer than the log".into()
    })?;
    without_images(&before, options, &found, &store)?;
    if effort == Effort::Thorough {
        read_only(&before, options, &found)?;
        read_only(&copy(crashed), options, &found)?;
        crashed.stop_at(crashed.calls(), freyja::vfs::simulated::Effect::Before);
        drop(store);
        let again = crashed.crash(Crash::PowerLoss, crash_seed(seed, 1));
        stays_when_writing_goes_on(&again, setting, &found, seed)?;
    } else {
        let again = crashed.crash(Crash::PowerLoss, crash_seed(seed, 1));
        let again = open(&again, options, "once more")?;
        expect(content(&again)? == found, || {
            "a power loss after recovery takes what recovery has shown".into()
        })?;
    }
    Ok(state)
}

fn copy(disk: &SimulatedDisk) -> SimulatedDisk {
    disk.crash(Crash::ProcessKill, crash_seed(1 << 41, 0))
}

/// The names in the store's directory; none if there is no directory.
fn names(disk: &SimulatedDisk) -> Vec<String> {
    let entries = disk.list(Path::new(STORE)).unwrap_or_default();
    let names = entries.into_iter();
    names
        .map(|entry| entry.name.to_string_lossy().into_owned())
        .collect()
}

/// A store whose images have been deleted recovers to the same as `store`, in which `found` is.
fn without_images(
    before: &SimulatedDisk,
    options: &Options,
    found: &Map,
    store: &Store,
) -> Told<()> {
    let disk = copy(before);
    for name in names(&disk).iter().filter(|name| name.ends_with(".img")) {
        disk.remove_file(&Path::new(STORE).join(name))
            .map_err(|error| error.to_string())?;
    }
    let options = Options {
        image_segments: 0,
        ..options.clone()
    };
    let scanned = open(&disk, &options, "the store without images")?;
    let (with, without) = (store.stats(), scanned.stats());
    expect(without.recovery_way == RecoveryWay::Scan as u64, || {
        "not scanned".into()
    })?;
    expect(content(&scanned)? == *found, || {
        "images change what is found".into()
    })?;
    expect(with.dead_bytes == without.dead_bytes, || {
        let (with, without) = (with.dead_bytes, without.dead_bytes);
        format!("images change what is dead: {with} bytes, without them {without}")
    })?;
    expect(
        (with.dead_puts, with.tombstone_bytes) == (without.dead_puts, without.tombstone_bytes),
        || "images change which records are dead".into(),
    )?;
    expect(with.last_sequence == without.last_sequence, || {
        "images change the last sequence number".into()
    })
}

/// A store opened for reading shows the same, mended or not, and changes nothing.
fn read_only(disk: &SimulatedDisk, options: &Options, found: &Map) -> Told<()> {
    if names(disk).is_empty() {
        return Ok(());
    }
    let options = Options {
        mode: OpenMode::ReadOnly,
        ..options.clone()
    };
    disk.start_trace();
    let store = open(disk, &options, "the store, for reading,")?;
    expect(content(&store)? == *found, || {
        "opened read-only it shows something else".into()
    })?;
    drop(store);
    let changing = [
        DiskOperation::Write,
        DiskOperation::SetLength,
        DiskOperation::Remove,
        DiskOperation::Rename,
        DiskOperation::CreateNew,
    ];
    let trace = disk.take_trace();
    let change = trace.iter().find(|call| changing.contains(&call.operation));
    expect(change.is_none(), || format!("read-only, but {change:?}"))
}

/// What was recovered and crashed again is there, and stays when it is written to, closed and crashed again.
fn stays_when_writing_goes_on(
    disk: &SimulatedDisk,
    setting: &Setting,
    found: &Map,
    seed: u64,
) -> Told<()> {
    let options = &setting.options();
    let store = open(disk, options, "once more")?;
    expect(content(&store)? == *found, || {
        "a power loss after recovery takes what recovery has shown".into()
    })?;
    let put = store.put(b"after", b"recovery");
    put.map_err(|error| format!("writing after recovery: {error}"))?;
    let crashed = disk.crash(Crash::PowerLoss, crash_seed(seed, 2));
    let crashed = open(&crashed, options, "after another put")?;
    expect(content(&crashed)? == *found, || {
        "a put and a power loss after recovery change what recovery has shown".into()
    })?;
    let after = crashed.get(b"after").map_err(|error| error.to_string())?;
    let may_be_lost = setting.sync_mode != SyncMode::Always;
    expect(
        after.as_deref() == Some(b"recovery") || after.is_none() && may_be_lost,
        || format!("a put after recovery is {after:?}"),
    )?;
    store.close().map_err(|error| error.to_string())?;
    drop(store);
    let disk = disk.crash(Crash::PowerLoss, crash_seed(seed, 3));
    let left = names(&disk);
    let unfinished = |name: &&String| name.ends_with(".new") && !name.starts_with("index-");
    expect(!left.iter().any(|name| unfinished(&name)), || {
        format!("recovery leaves unfinished segments: {left:?}")
    })?;
    let store = open(&disk, options, "after a close")?;
    expect(content(&store)? == *found, || {
        "writing after recovery changed the past".into()
    })?;
    let after = store.get(b"after").map_err(|error| error.to_string())?;
    expect(after.as_deref() == Some(b"recovery"), || {
        format!("a put before close is {after:?}")
    })
}
