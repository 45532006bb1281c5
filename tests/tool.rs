//! The command line program does what its help and docs/tool.md say, as a process of its own.
#![allow(clippy::disallowed_methods)] // tests look at files directly
#![allow(clippy::unwrap_used)] // a test that meets an error has failed

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use freyja::store::{Compaction, OpenMode, Options, Store};

const DONE: i32 = 0;
const NO: i32 = 1;
const USAGE: i32 = 2;
const FAILED: i32 = 3;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs the program in the folder, with `input` on standard input.
    fn run_with(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_freyja"))
            .args(arguments)
            .current_dir(&self.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        // It need not read it.
        let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().unwrap();
        feeder.join().unwrap();
        output
    }

    /// What the program prints, if it ends with `code`.
    fn run(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run_with(arguments, b"");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        assert_eq!(told.is_empty(), code != FAILED && code != USAGE, "{told}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What the program complains of, if it ends with `code`.
    fn complaint(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run_with(arguments, b"");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// A store with keys of all kinds of bytes, each of which has an older version.
    fn filled(&self, name: &str) -> Store {
        // In the background it would find the key that has expired, or not, before the store is closed.
        let options = Options {
            compaction: Compaction::Manual,
            ..Options::default()
        };
        let store = Store::open(&self.path(name), &options).unwrap();
        for version in [1_u8, 2] {
            for key in 0..=255 {
                store.put(&[key, b'k'], &[version, key, b'\n', 0]).unwrap();
            }
        }
        store.put(b"", b"of the empty key").unwrap();
        store.put(b"empty", b"").unwrap();
        store.put(b"end 5", b"looks like an end").unwrap();
        store.put_expiring(b"later", b"alive", 1 << 50).unwrap();
        store.put_expiring(b"earlier", b"gone", 1000).unwrap();
        store
    }
}

/// Flips a bit in the value of the newest record of `key`; returns where the record lies.
fn damage(path: &Path, key: &[u8]) -> (PathBuf, u64) {
    // For reading, so that no compaction moves the record meanwhile.
    let options = Options {
        mode: OpenMode::ReadOnly,
        ..Options::default()
    };
    let store = Store::open(path, &options).unwrap();
    let location = store.locate(key).unwrap().unwrap();
    store.close().unwrap();
    drop(store);
    let file = path.join(format!("{:016x}.seg", location.segment_id));
    let mut bytes = std::fs::read(&file).unwrap();
    // Behind checksum, kind, lengths, sequence number and key.
    bytes[location.offset as usize + 9 + key.len()] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    (file, location.offset)
}

#[test]
fn a_key_is_put_and_read_and_deleted() {
    let folder = Folder::new();
    folder.run(FAILED, &["put", "store", "key", "value"]); // no store yet
    assert!(!folder.path("store").exists());
    folder.run(DONE, &["put", "store", "key", "value", "--create"]);
    assert_eq!(folder.run(DONE, &["get", "store", "key"]), "value");
    folder.run(NO, &["get", "store", "other"]);
    folder.run(DONE, &["delete", "store", "key"]);
    folder.run(NO, &["get", "store", "key"]);
    folder.run(NO, &["delete", "store", "key"]);
    assert_eq!(folder.run(DONE, &["list", "store"]), "");
}

#[test]
fn any_bytes_go_in_and_come_out() {
    let folder = Folder::new();
    let value: Vec<u8> = (0..=255).collect();
    let put = ["put", "-e", "store", r"k\x00\xff\\", "-", "--create"];
    let output = folder.run_with(&put, &value);
    assert!(output.status.success());
    let output = folder.run_with(&["get", "-e", "store", r"k\x00\xff\\"], b"");
    assert_eq!(output.stdout, value);
    assert_eq!(folder.run(DONE, &["list", "store"]), "k\\x00\\xff\\\\\n");
    let prefix = ["list", "store", "-e", "--prefix", r"k\x00"];
    assert_eq!(folder.run(DONE, &prefix), "k\\x00\\xff\\\\\n");
    assert_eq!(folder.run(DONE, &["list", "store", "--prefix", "x"]), "");
}

#[test]
fn a_pair_can_be_given_an_expiry() {
    let folder = Folder::new();
    let put = ["put", "store", "key", "value", "--create", "--expires-at"];
    folder.run(DONE, &[&put[..], &["1000"]].concat());
    folder.run(NO, &["get", "store", "key"]);
    folder.run(DONE, &[&put[..], &["1000000000000000"]].concat());
    assert_eq!(folder.run(DONE, &["get", "store", "key"]), "value");
}

#[test]
fn a_dump_loads_into_an_equal_store() {
    let folder = Folder::new();
    folder.filled("store").close().unwrap();
    let dump = folder.run(DONE, &["dump", "store"]);
    assert!(dump.starts_with("freyja dump 1\n") && dump.ends_with("\nend 260\n"));
    assert!(!dump.contains("earlier"), "it has expired");
    let output = folder.run_with(&["load", "copy"], dump.as_bytes());
    assert!(output.status.success(), "{output:?}");
    let sorted = |dump: String| {
        let mut lines: Vec<_> = dump.lines().map(String::from).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(folder.run(DONE, &["dump", "copy"])), sorted(dump));
    let store = Store::open(&folder.path("copy"), &Options::default()).unwrap();
    assert_eq!(
        store.get(&[0xff, b'k']).unwrap().unwrap(),
        [2, 0xff, b'\n', 0]
    );
    assert_eq!(store.get(b"").unwrap().unwrap(), b"of the empty key");
    assert_eq!(store.get(b"empty").unwrap().unwrap(), b"");
    assert_eq!(store.count(), 260);
}

#[test]
fn what_is_no_whole_dump_is_refused_with_the_line() {
    let folder = Folder::new();
    for (dump, line) in [
        ("", 1),
        ("something else\n", 1),
        ("freyja dump 2\nend 0\n", 1),
        ("freyja dump 1\n", 2),
        ("freyja dump 1\na\tb\n", 3),
        ("freyja dump 1\na\tb\nend 1", 3),
        ("freyja dump 1\na\tb\nend 2\n", 3),
        ("freyja dump 1\nab\nend 1\n", 2),
        ("freyja dump 1\na\tb\tc\nend 1\n", 2),
        ("freyja dump 1\na\tb\t5\t5\nend 1\n", 2),
        ("freyja dump 1\na\\\tb\nend 1\n", 2),
    ] {
        let output = folder.run_with(&["load", "store"], dump.as_bytes());
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(FAILED), "{dump:?}");
        assert!(
            told.contains(&format!("line {line} of")),
            "{dump:?}: {told}"
        );
    }
}

#[test]
fn a_backup_is_a_store_with_the_same_pairs_and_can_be_brought_up_to_date() {
    let folder = Folder::new();
    folder.filled("store").close().unwrap();
    let told = folder.run(DONE, &["backup", "store", "copy"]);
    assert!(told.contains(" segments up to record "), "{told}");
    folder.run(DONE, &["put", "store", "new", "value"]);
    folder.run(DONE, &["backup", "store", "copy"]);
    assert_eq!(folder.run(DONE, &["get", "copy", "new"]), "value");
    folder.run(DONE, &["verify", "copy"]);
    folder.run(FAILED, &["backup", "nowhere", "other"]);
}

#[test]
fn compacting_keeps_what_counts() {
    let folder = Folder::new();
    folder.filled("store").close().unwrap();
    let told = folder.run(DONE, &["compact", "store"]);
    let mut numbers = told
        .split(' ')
        .filter_map(|word| word.trim().parse::<u64>().ok());
    let (after, before) = (numbers.next().unwrap(), numbers.next().unwrap());
    assert!(after < before, "{told}");
    folder.run(DONE, &["verify", "store"]);
    assert_eq!(folder.run(DONE, &["list", "store"]).lines().count(), 260);
}

#[test]
fn counts_are_printed() {
    let folder = Folder::new();
    folder.filled("store").close().unwrap();
    let stats = folder.run(DONE, &["stats", "store"]);
    assert!(stats.lines().any(|line| line == "keys 261"), "{stats}");
    let lines = |line: &str| {
        line.split_once(' ')
            .is_some_and(|(_, it)| it.parse::<u64>().is_ok())
    };
    assert!(
        stats.lines().count() > 30 && stats.lines().all(lines),
        "{stats}"
    );
}

#[test]
fn damage_is_told_with_file_offset_and_key_and_can_be_repaired() {
    let folder = Folder::new();
    folder.filled("store").close().unwrap();
    let sound = folder.run(DONE, &["verify", "store"]);
    assert!(sound.ends_with("nothing is damaged\n"), "{sound}");
    let (file, offset) = damage(&folder.path("store"), b"Ak");
    let told = folder.run(NO, &["verify", "store"]);
    let first = told.lines().next().unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    for part in [name, &format!("at byte {offset},"), "[key \"Ak\"]"] {
        assert!(
            first.starts_with("loss: ") && first.contains(part),
            "{first}"
        );
    }
    let told = folder.run(NO, &["repair", "store", "new"]);
    assert!(told.contains("saved 260 keys"), "{told}");
    folder.run(NO, &["get", "new", "Ak"]);
    folder.run(DONE, &["verify", "new"]);
    folder.run(NO, &["repair", "store", "older", "--older-versions"]);
    let output = folder.run_with(&["get", "older", "Ak"], b"");
    assert_eq!(output.stdout, [1, b'A', b'\n', 0]);
    // What is printed of a damaged store is not passed off as all of it.
    let output = folder.run_with(&["dump", "store"], b"");
    assert_eq!(output.status.code(), Some(NO));
    assert!(String::from_utf8(output.stderr).unwrap().contains(name));
}

#[test]
fn failures_are_on_standard_error_and_name_what_failed() {
    let folder = Folder::new();
    for command in ["verify", "stats", "dump", "list"] {
        let told = folder.complaint(FAILED, &[command, "nowhere"]);
        assert!(told.contains("nowhere: there is no store"), "{told}");
    }
    let store = folder.filled("store");
    let told = folder.complaint(FAILED, &["put", "store", "key", "value"]);
    assert!(told.contains("open elsewhere"), "{told}");
    store.close().unwrap();
    std::fs::create_dir(folder.path("full")).unwrap();
    std::fs::write(folder.path("full/file"), "").unwrap();
    let told = folder.complaint(FAILED, &["repair", "store", "full"]);
    assert!(told.contains("full: the directory is not empty"), "{told}");
}

#[test]
fn wrong_usage_is_told_apart_and_help_is_no_failure() {
    let folder = Folder::new();
    assert!(
        folder
            .complaint(USAGE, &["frobnicate"])
            .contains("frobnicate")
    );
    assert!(folder.complaint(USAGE, &[]).contains("--help"));
    let help = folder.run(DONE, &["--help"]);
    let document = include_str!("../docs/tool.md");
    for command in [
        "verify", "repair", "backup", "compact", "get", "put", "delete", "list", "stats", "dump",
        "load",
    ] {
        assert!(help.contains(&format!("\n  {command} STORE")), "{command}");
        assert!(
            document.contains(&format!("`freyja {command} ")),
            "{command}"
        );
    }
    assert!(folder.run(DONE, &["-V"]).starts_with("freyja 0."));
}
