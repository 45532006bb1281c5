//! A process that is killed at any one of its system calls leaves a store with everything that it had been told is done.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(clippy::disallowed_methods)] // looks at real files directly

#[path = "../support/independent_reader.rs"]
mod independent_reader;
#[path = "../support/strace.rs"]
mod strace;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use freyja::store::{Options, Store};
use independent_reader::read_stores;
use strace::traced;
use support::programs::{Way, compiled, told};
use support::root;

type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

/// A system call: the n-th of its name, counted from 1.
type Call = (String, usize);

fn program() -> PathBuf {
    compiled(Way::Shared, &root().join("tests/calls/steps.c"))
}

/// All calls that the program makes once it has begun.
fn calls(program: &Path, folder: &Path) -> Option<Vec<Call>> {
    let log = folder.join("trace");
    let output = traced(&[], &log, program, &folder.join("traced"))?;
    assert!(output.status.success(), "{}", told(&output));
    let mut counts = BTreeMap::new();
    let mut calls = Vec::new();
    let mut has_begun = false;
    for line in std::fs::read_to_string(&log).unwrap().lines() {
        let call = line.split_whitespace().nth(1).unwrap();
        let Some((name, _)) = call.split_once('(') else {
            continue;
        };
        let count = counts.entry(name.to_owned()).or_insert(0);
        *count += 1;
        if has_begun {
            calls.push((name.to_owned(), *count));
        }
        has_begun |= line.contains("write(1, \"-1");
    }
    Some(calls)
}

/// What is in the store after so many steps.
fn contents_after(steps: i32) -> Contents {
    let mut contents = Contents::new();
    for number in 0..steps {
        let key = |number| format!("key {number}").into_bytes();
        let letter = b'a' + u8::try_from(number).unwrap();
        match number % 6 {
            4 => {
                contents.remove(&key(number - 1));
            }
            remainder => {
                contents.insert(key(number), vec![letter; 600]);
                if remainder == 5 {
                    contents.insert(b"last batch".to_vec(), vec![letter]);
                }
            }
        }
    }
    contents
}

fn contents_of(store: &Store) -> Contents {
    let keys = (0..24).map(|number| format!("key {number}").into_bytes());
    let keys = keys.chain([b"last batch".to_vec()]);
    let found = keys.filter_map(|key| Some((key.clone(), store.get(&key).unwrap()?.to_vec())));
    found.collect()
}

/// Kills the program at `call` and looks at what it leaves.
fn kill_at(call: &Call, program: &Path) {
    let (name, count) = call;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let injected = format!("inject={name}:signal=KILL:when={count}");
    let log = folder.path().join("trace");
    let output = traced(&["-e", &injected], &log, program, &path).unwrap();
    assert!(!output.status.success(), "{call:?}: not killed");
    let said = String::from_utf8(output.stdout).unwrap();
    let acknowledged: i32 = said.lines().last().unwrap().parse().unwrap();
    // The step after the last acknowledged one may have been done.
    let allowed = [acknowledged + 1, acknowledged + 2].map(contents_after);
    let reading = path
        .exists()
        .then(|| read_stores(&[(path.clone(), 0)]))
        .flatten();
    if let Some(readings) = reading {
        assert!(
            allowed.contains(&readings[0].live),
            "{call:?}: {acknowledged}"
        );
        assert!(
            readings[0].damage.is_empty() && readings[0].missing == 0,
            "{call:?}"
        );
    }
    let store = Store::open(&path, &Options::default()).unwrap();
    let found = contents_of(&store);
    assert!(allowed.contains(&found), "{call:?}: {acknowledged}");
    assert_eq!(store.count(), found.len() as u64, "{call:?}");
    assert!(store.recovery_report().damaged.is_empty(), "{call:?}");
    store.put(b"after", b"the kill").unwrap();
    store.close().unwrap();
}

fn kill_at_every(nth: usize) {
    let program = program();
    let folder = tempfile::tempdir().unwrap();
    let Some(calls) = calls(&program, folder.path()) else {
        return;
    };
    assert!(calls.len() > 100, "{calls:?}");
    // The last one is the end of the process, which cannot be killed any more.
    let killed = calls[..calls.len() - 1].iter().step_by(nth);
    println!("{} of {} system calls", killed.len(), calls.len());
    killed.for_each(|call| kill_at(call, &program));
}

#[test]
fn a_process_killed_at_one_of_its_system_calls_has_lost_nothing_that_was_acknowledged() {
    kill_at_every(17);
}

#[test]
#[ignore = "takes a minute: make crash-test"]
fn campaign_of_system_calls() {
    kill_at_every(1);
}
