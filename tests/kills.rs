//! Real processes: what those that get killed leave is read by others too, and what is acknowledged has been synced.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(clippy::disallowed_methods)] // looks at real files directly

#[path = "support/independent_reader.rs"]
mod independent_reader;
#[path = "support/strace.rs"]
mod strace;
mod support;
#[path = "support/trace.rs"]
mod trace;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use independent_reader::{bytes, read_stores};
use support::programs::{Way, compiled, told};
use support::root;
use trace::Call;

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

const TRACED: &str = "fdatasync,fsync,write,pwrite64,pwritev,pwritev2,writev,rename";

/// Says why what has been acknowledged by `acknowledgement` is not known to be durable.
fn what_is_missing(calls: &[Call], acknowledgement: &Call) -> Result<(), String> {
    let text = &acknowledgement.text;
    let key = &text[text.find("key ").unwrap()..=text.find('.').unwrap()];
    let before = || {
        let is_over = |call: &&Call| call.end < acknowledgement.begin && call.succeeded();
        calls.iter().filter(is_over)
    };
    let is_synced = |path: &str, after: usize| {
        let mut syncs = before().filter(|it| it.is(&["fdatasync", "fsync"]));
        syncs.any(|sync| sync.file() == path && sync.begin > after)
    };
    let writes = ["pwrite64", "pwritev", "pwritev2", "writev"];
    let write = before().find(|it| it.is(&writes) && it.text.contains(key));
    let write = write.ok_or_else(|| format!("{key} was not written"))?;
    let path = write.file();
    if !is_synced(path, write.end) {
        return Err(format!("{key} was not synced after it was written"));
    }
    // The file got its name, and then its directory was synced.
    let (folder, name) = path.rsplit_once('/').unwrap();
    let named = format!("/{name}\")");
    let rename = before().find(|it| it.is(&["rename"]) && it.text.contains(&named));
    let rename = rename.ok_or_else(|| format!("{name} has got no name"))?;
    match is_synced(folder, rename.end) {
        true => Ok(()),
        false => Err(format!(
            "the name of {name}, which has {key}, was not synced"
        )),
    }
}

#[test]
fn an_acknowledgement_before_its_sync_is_noticed() {
    let [write, sync, rename, name, say] = [
        "7 pwrite64(4</s/1.seg>, \"..key 1 of 0.value\", 18, 128) = 18",
        "7 fdatasync(4</s/1.seg>) = 0",
        "7 rename(\"/s/1.new\", \"/s/1.seg\") = 0",
        "7 fsync(5</s>) = 0",
        "7 write(1<pipe:[1]>, \"always key 1 of 0.\\n\", 19) = 19",
    ];
    let judge = |lines: &[&str]| {
        let calls = trace::parse(&lines.join("\n"));
        what_is_missing(&calls, calls.iter().find(|it| it.is(&["write"])).unwrap())
    };
    judge(&[rename, name, write, sync, say]).unwrap();
    let failed = "7 fdatasync(4</s/1.seg>) = -1 EIO (Input/output error)";
    let other = "7 fdatasync(6</s/2.seg>) = 0";
    let (begun, over) = (
        "8 fdatasync(4</s/1.seg> <unfinished ...>",
        "8 <... fdatasync resumed>) = 0",
    );
    for lines in [
        &[rename, name, sync, write, say][..],
        &[rename, name, write, say, sync],
        &[rename, name, sync, say],
        &[rename, write, sync, say],
        &[name, rename, write, sync, say],
        &[rename, name, write, failed, say],
        &[rename, name, write, other, say],
        &[rename, name, begun, write, over, say],
        &[rename, name, write, begun, say, over],
    ] {
        judge(lines).unwrap_err();
    }
    judge(&[rename, name, write, begun, over, say]).unwrap();
    // Results that come later are put in a column of their own.
    let (rename_begun, rename_over) = (
        "8 rename(\"/s/1.new\", \"/s/1.seg\" <unfinished ...>",
        "8 <... rename resumed>)             = 0",
    );
    judge(&[rename_begun, rename_over, name, write, sync, say]).unwrap();
    judge(&[rename_begun, name, rename_over, write, sync, say]).unwrap_err();
}

#[test]
fn what_is_acknowledged_as_durable_has_been_synced_and_the_interval_goes_on_while_writing() {
    let folder = tempfile::tempdir().unwrap();
    let stores = folder.path().canonicalize().unwrap();
    let Some(calls) = trace::calls(&program("acknowledgements"), &stores, TRACED) else {
        return;
    };
    let said = |word: &'static str| {
        let says = move |call: &&Call| call.text.contains(&format!(", \"{word}"));
        calls.iter().filter(says)
    };
    let judged = said("always ").map(|it| what_is_missing(&calls, it));
    let missing: Vec<String> = judged.filter_map(Result::err).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    assert_eq!(said("always ").count(), 5 * 30);
    let [begin, end] = [0, 1].map(|number| said("interval").nth(number).unwrap());
    let syncs = calls.iter().filter(|call| {
        call.is(&["fdatasync"])
            && call.succeeded()
            && call.begin > begin.end
            && call.end < end.begin
    });
    // 25 intervals, of which a busy machine may miss some.
    let syncs = syncs.count();
    assert!(syncs >= 5, "{syncs} syncs in 25 intervals");
}
