//! Real processes: what those that get killed leave is read by others too, and what is acknowledged has been synced.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(clippy::disallowed_methods)] // looks at real files directly

#[path = "support/independent_reader.rs"]
mod independent_reader;
mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use independent_reader::{bytes, read_stores};
use support::programs::{Way, compiled, told};
use support::root;

fn program(name: &str) -> PathBuf {
    compiled(
        Way::Shared,
        &root().join("c_tests").join(name).with_extension("c"),
    )
}

/// The names in `folder` that end in ` kind`, without that.
fn kept(folder: &Path, kind: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names
        .filter_map(|name| Some(name.strip_suffix(kind)?.to_string()))
        .collect();
    names.sort();
    names
}

/// Kills writers `kills` times in each of five modes, and lets both read what is left. Answers how many stores that were.
fn kill(kills: u64, seed: u64) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(program("kill"))
        .arg(folder.path())
        .env("FREYJA_KEEP", "1")
        .env("FREYJA_KILLS", kills.to_string())
        .env("FREYJA_SEED", seed.to_string())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "FREYJA_SEED={seed}: {}",
        told(&output)
    );
    let names = kept(folder.path(), " found");
    assert_eq!(names.len() as u64, 5 * kills);
    assert_eq!(names, kept(folder.path(), " before"));
    let stores = names
        .iter()
        .map(|name| (folder.path().join(format!("{name} before")), 0));
    let Some(readings) = read_stores(&stores.collect::<Vec<_>>()) else {
        return 5 * kills;
    };
    for (name, reading) in names.iter().zip(readings) {
        let what = format!("FREYJA_SEED={seed}, {name}");
        let found = std::fs::read_to_string(folder.path().join(format!("{name} found"))).unwrap();
        let pair = |line: &str| {
            let (key, value) = line.split_once(' ').unwrap();
            (bytes(key), bytes(value))
        };
        let found: BTreeMap<_, _> = found.lines().map(pair).collect();
        assert!(
            reading.live == found,
            "{what}: the two read different things"
        );
        assert!(reading.damage.is_empty() && reading.missing == 0, "{what}");
    }
    5 * kills
}

#[test]
fn an_independent_reader_finds_what_killed_writers_have_acknowledged() {
    println!("{} processes killed", kill(4, 1));
}

#[test]
#[ignore = "takes minutes: make crash-test"]
fn campaign_of_kills() {
    let number = |variable, otherwise| {
        std::env::var(variable).map_or(otherwise, |it| it.parse().expect("a number"))
    };
    let first = number("FREYJA_SEED", 1000);
    let mut killed = 0;
    // A few stores at a time, for each kill leaves a copy.
    for seed in first..first + number("FREYJA_ROUNDS", 5) {
        killed += kill(8, seed);
    }
    println!("{killed} processes killed, seeds from {first}");
}

/// What a traced program did, in order: completed syncs and the words it said.
fn trace(name: &str) -> Option<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("trace");
    let traced = Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=fdatasync,fsync,write", "-o"])
        .arg(&log)
        .arg(program(name))
        .arg(folder.path())
        .output();
    let Ok(output) = traced else {
        println!("skipped: strace is not installed");
        return None;
    };
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    if text.is_empty() {
        println!("skipped: strace may not trace here: {}", told(&output));
        return None;
    }
    assert!(output.status.success(), "{}", told(&output));
    let event = |line: &str| match line {
        _ if line.contains("write(1, \"always") => Some("always".to_string()),
        _ if line.contains("write(1, \"interval") => Some("interval".to_string()),
        _ if line.contains("sync") && line.ends_with("= 0") => Some("sync".to_string()),
        _ => None,
    };
    Some(text.lines().filter_map(event).collect())
}

#[test]
fn what_is_acknowledged_as_durable_has_been_synced_and_the_interval_goes_on_while_writing() {
    let Some(events) = trace("acknowledgements") else {
        return;
    };
    let (mut synced, mut acknowledged) = (false, 0);
    for event in events.iter().take_while(|event| *event != "interval") {
        match event.as_str() {
            "sync" => synced = true,
            _ => {
                assert!(
                    std::mem::take(&mut synced),
                    "put {acknowledged} was not synced"
                );
                acknowledged += 1;
            }
        }
    }
    assert_eq!(acknowledged, 50);
    let while_writing = events.split(|event| event == "interval").nth(1).unwrap();
    // 25 intervals, of which a busy machine may miss some.
    assert!(
        while_writing.len() >= 5,
        "{} syncs in 25 intervals",
        while_writing.len()
    );
}
