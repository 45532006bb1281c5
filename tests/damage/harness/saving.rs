//! Judges what verifying and repairing make of a damaged store.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use freyja::Error;
use freyja::store::{Finding, FindingKind, Salvage, Store, repair_on, verify_on};
use freyja::vfs::SimulatedDisk;

use super::Told;
use super::golden::{Golden, KEYS, STORE, key, options};

const SAVED: &str = "/saved";

/// Verifies the store on `disk`, which is damaged, and repairs it. `must_be_found` says whether there is damage that
/// leaves a trace. Nothing is written to the store.
pub fn judge(golden: &Golden, disk: &SimulatedDisk, must_be_found: bool) -> Told<()> {
    let told = |error: Error| format!("verify or repair: {error}");
    let verified = verify_on(disk, Path::new(STORE), &mut |_| {}).map_err(told)?;
    let mut findings: Vec<Finding> = Vec::new();
    let mut listener = |finding: &Finding| findings.push(finding.clone());
    let repaired = repair_on(
        Arc::new(disk.clone()),
        Path::new(STORE),
        Path::new(SAVED),
        &Salvage::default(),
        &mut listener,
    )
    .map_err(told)?;
    let found = &repaired.found;
    if verified.findings != found.findings || verified.keys != found.keys {
        return Err(format!("repair finds {found:?}, verify {verified:?}"));
    }
    if must_be_found && found.findings == 0 && !is_as_it_was(golden, disk) {
        return Err("verify finds nothing".into());
    }
    let is_cut = |it: &Finding| {
        matches!(
            it.kind,
            FindingKind::TornTail | FindingKind::UnusableFile | FindingKind::MissingRecords
        )
    };
    // A cut at the end of the log leaves no trace: it looks like what a power loss leaves.
    let may_lack_the_end = found.findings == 0 || findings.iter().any(is_cut);
    let named: BTreeSet<&[u8]> = findings.iter().filter_map(|it| it.key.as_deref()).collect();
    let store = Store::open_on(
        Arc::new(disk.clone()),
        Path::new(SAVED),
        &options(golden.ending),
    )
    .map_err(told)?;
    if let Some(error) = store.failure() {
        return Err(format!("the repaired store is damaged: {error}"));
    }
    let (mut older, mut absent) = (0, 0);
    for key in (0..KEYS).map(key) {
        let saved = store.get(&key).map_err(told)?;
        if saved == golden.newest(&key) {
            continue;
        }
        let versions = golden.versions.get(&key);
        if saved.is_some() && !versions.is_some_and(|all| all.contains(&saved)) {
            return Err(format!("{key:?} was saved with bytes that never were"));
        }
        if saved.is_none() && named.contains(&key[..]) {
            continue;
        }
        older += u64::from(saved.is_some());
        absent += u64::from(saved.is_none());
        let in_doubt = match saved {
            Some(_) => found.keys_in_doubt > 0,
            // The record's bytes may tell another key than it had.
            None => found.lost_records > 0,
        };
        if !in_doubt && !may_lack_the_end {
            let key = key.escape_ascii();
            return Err(format!(
                "repair passes {saved:?} off as the newest of \"{key}\": {repaired:?}, {findings:?}"
            ));
        }
    }
    if older + absent > found.lost_records && !may_lack_the_end {
        return Err(format!(
            "{older} older versions were saved, {absent} keys left out unnamed: {repaired:?}"
        ));
    }
    Ok(())
}

fn is_as_it_was(golden: &Golden, disk: &SimulatedDisk) -> bool {
    golden.files.iter().all(|(name, bytes)| {
        let now = disk.read_file(&Path::new(STORE).join(name));
        now.is_ok_and(|now| now == *bytes)
    })
}
