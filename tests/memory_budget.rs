//! A store with a memory budget never has more memory than that, as the system counts it, and uses most of it.
//!
//! Each case runs in a process of its own, which this one watches.

#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods)] // looks at processes and files from outside

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use freyja::ErrorKind;
use freyja::store::{Batch, KeyStorage, Options, Store, SyncMode};

const CASE: &str = "FREYJA_BUDGET_CASE";
const STORAGES: [KeyStorage; 2] = [KeyStorage::InMemory, KeyStorage::OnDisk];

/// Fills from `from` on, beyond `least`: while threads of the store make the index smaller, less may fit for some moments.
fn fill_beyond(store: &Store, from: u64, least: u64) -> u64 {
    let mut full = from;
    for _ in 0..200 {
        full = fill(store, full);
        if full > least {
            return full;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("full at {full}; {least} should fit");
}

/// No other store of this process may be in use meanwhile: memory that was replaced waits for all readers of all stores.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn options(key_storage: KeyStorage, budget: u64) -> Options {
    Options {
        key_storage,
        memory_budget: budget,
        sync_mode: SyncMode::None,
        ..Options::default()
    }
}

fn key(number: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    key[8..].copy_from_slice(&number.to_le_bytes());
    key
}

/// Puts new keys from `number` on until memory is refused; answers which was.
fn fill(store: &Store, mut number: u64) -> u64 {
    loop {
        match store.put(&key(number), b"value") {
            Ok(()) => number += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Memory, "{error}");
                return number;
            }
        }
    }
}

/// The process that is watched: each line of its input is a step, each line of its output tells that one is done.
#[test]
#[ignore = "run by the tests that watch it"]
fn the_process_that_is_watched() {
    let Ok(case) = std::env::var(CASE) else {
        return;
    };
    let mut parts = case.split(' ');
    let mut next = || parts.next().unwrap();
    let (directory, on_disk, budget) = (next(), next() == "disk", next().parse().unwrap());
    let key_storage = STORAGES[usize::from(on_disk)];
    let mut input = std::io::stdin().lines();
    let mut wait = |done: String| {
        println!("step {done}");
        std::io::stdout().flush().unwrap();
        input.next();
    };
    wait("ready".into());
    let options = options(key_storage, budget);
    let store = Store::open(Path::new(directory), &options).unwrap();
    let first = fill(&store, 0);
    wait(format!("filled {first}"));
    for number in 0..first {
        assert!(store.delete(&key(number)).unwrap());
        if number % 2 == 0 {
            continue;
        }
        let _ = store.put(&key(number), b"again");
    }
    wait("churned".into());
    let mut pairs = 0;
    let mut iterator = store.iter(Default::default()).unwrap();
    while iterator.next_with(|_, _| ()).unwrap().is_some() {
        pairs += 1;
    }
    drop(iterator);
    let last = fill(&store, first);
    wait(format!("filled again {last} after {pairs}"));
    store.close().unwrap();
    drop(store);
    let store = Store::open(Path::new(directory), &options).unwrap();
    assert!(store.get(&key(last - 1)).unwrap().is_some());
    fill(&store, last);
    wait("reopened".into());
    store.close().unwrap();
    wait("closed".into());
}

/// A process that runs one case.
struct Watched {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    is_ready: bool,
    _directory: tempfile::TempDir,
}

impl Watched {
    fn start(key_storage: KeyStorage, budget: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let storage = match key_storage {
            KeyStorage::OnDisk => "disk",
            KeyStorage::InMemory => "memory",
        };
        let path = directory.path().join("store");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "the_process_that_is_watched",
                "--ignored",
                "--nocapture",
            ])
            .env(CASE, format!("{} {storage} {budget}", path.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            output,
            is_ready: false,
            _directory: directory,
        }
    }

    /// Lets the process go on until it has done the next step, and answers what it says and the most memory it had meanwhile.
    fn step(&mut self) -> (String, u64) {
        let (sender, receiver) = std::sync::mpsc::channel();
        let mut most = 0;
        // The first step is what it does before it asks.
        if let Some(input) = self.child.stdin.as_mut().filter(|_| self.is_ready) {
            input.write_all(b"\n").unwrap();
        }
        self.is_ready = true;
        let said = std::thread::scope(|scope| {
            let output = &mut self.output;
            scope.spawn(move || {
                let mut line = String::new();
                loop {
                    line.clear();
                    if output.read_line(&mut line).unwrap() == 0 {
                        return;
                    }
                    if let Some((_, said)) = line.split_once("step ") {
                        sender.send(said.trim().to_owned()).unwrap();
                        return;
                    }
                }
            });
            loop {
                most = most.max(anonymous_bytes(self.child.id()));
                match receiver.recv_timeout(std::time::Duration::from_millis(1)) {
                    Ok(said) => break said,
                    Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
                    Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {
                        panic!("the process has ended")
                    }
                }
            }
        });
        (said, most)
    }
}

/// Bytes of a process that no file backs, counted page by page.
fn anonymous_bytes(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Anonymous:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB"));
    1024 * kibibytes.unwrap().trim().parse::<u64>().unwrap()
}

/// Runs all steps under `budget`; answers the most bytes in each, and what was said of it.
fn run(key_storage: KeyStorage, budget: u64) -> Vec<(String, u64)> {
    let mut watched = Watched::start(key_storage, budget);
    let (_, before) = watched.step();
    let mut steps = Vec::new();
    for _ in 0..5 {
        let (said, most) = watched.step();
        let taken = most.saturating_sub(before);
        assert!(
            taken <= budget,
            "{key_storage:?}, {said}: {taken} of {budget} bytes"
        );
        steps.push((said, taken));
    }
    drop(watched.child.stdin.take());
    assert!(watched.child.wait().unwrap().success());
    steps
}

#[test]
fn a_full_store_takes_no_more_than_its_budget_and_most_of_it() {
    let _alone = alone();
    const BUDGET: u64 = 4 << 20;
    for key_storage in STORAGES {
        let (said, taken) = &run(key_storage, BUDGET)[0];
        assert!(
            *taken >= BUDGET / 3 * 2,
            "{key_storage:?}, {said}: only {taken} of {BUDGET} bytes"
        );
    }
}

/// In MiB; `FREYJA_BUDGETS="16 256"` asks for others.
fn budgets() -> Vec<u64> {
    let asked = std::env::var("FREYJA_BUDGETS");
    let asked = asked.unwrap_or_else(|_| "2 4 16 64".into());
    asked.split(' ').map(|it| it.parse().unwrap()).collect()
}

/// What `make bench-budget` prints.
#[test]
#[ignore = "takes minutes"]
fn larger_stores_take_no_more_than_their_budgets_either() {
    println!(
        "| keys | budget, MiB | filled | churned | filled again | reopened | closed | puts until full |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for key_storage in STORAGES {
        for mebibytes in budgets() {
            let budget = mebibytes << 20;
            let steps = run(key_storage, budget);
            let share = |number: usize| 100.0 * steps[number].1 as f64 / budget as f64;
            let shares = (0..5).map(|number| format!(" {:.1} % |", share(number)));
            let shares: String = shares.collect();
            let puts = steps[0].0.split(' ').nth(1).unwrap_or_default();
            println!("| {key_storage:?} | {mebibytes} |{shares} {puts} |");
            assert!(mebibytes < 16 || share(0) >= 85.0);
        }
    }
}

#[test]
fn a_full_store_still_reads_overwrites_deletes_and_iterates() {
    let _alone = alone();
    for key_storage in STORAGES {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), &options(key_storage, 2 << 20)).unwrap();
        let full = fill(&store, 0);
        let sequence = store.stats().last_sequence;
        assert!(store.put(&key(full), b"value").is_err());
        // What was refused is not in the log.
        assert_eq!(store.stats().last_sequence, sequence);
        assert!(store.stats().memory_refusals >= 2);
        assert_eq!(store.get(&key(full)).unwrap(), None);
        for number in 0..full {
            store.put(&key(number), b"other").unwrap();
        }
        let mut pairs = 0;
        let mut iterator = store.iter(Default::default()).unwrap();
        while iterator
            .next_with(|_, value| assert_eq!(value, b"other"))
            .unwrap()
            .is_some()
        {
            pairs += 1;
        }
        assert_eq!(pairs, full);
        for number in 0..full {
            assert!(store.delete(&key(number)).unwrap());
        }
        fill_beyond(&store, full, full + full / 10 * 9);
        store.close().unwrap();
    }
}

#[test]
fn an_iterator_waits_for_memory_that_a_reader_keeps_from_being_freed() {
    let _alone = alone();
    for key_storage in STORAGES {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), &options(key_storage, 2 << 20)).unwrap();
        let full = fill(&store, 0);
        let (reads, is_read) = std::sync::mpsc::channel();
        let (let_go, may_go) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let store = &store;
            scope.spawn(move || {
                let read = store.get_with(&key(full - 1), |_| {
                    reads.send(()).unwrap();
                    may_go.recv().unwrap();
                    std::thread::sleep(std::time::Duration::from_millis(20));
                });
                assert!(read.unwrap().is_some());
            });
            is_read.recv().unwrap();
            // Each table that becomes smaller leaves one behind, until the reserve has no room for another.
            let mut deleted = 0;
            while deleted < full - 1 && store.delete(&key(deleted)).is_ok() {
                deleted += 1;
            }
            let_go.send(()).unwrap();
            let mut iterator = store.iter(Default::default()).unwrap();
            let mut pairs = 0;
            while iterator.next_with(|_, _| ()).unwrap().is_some() {
                pairs += 1;
            }
            assert_eq!(pairs, full - deleted, "{key_storage:?}");
        });
        store.close().unwrap();
    }
}

/// Larger than the tests above, as the last of the reserve is needed for segments, and a scan takes memory of its own.
#[test]
fn a_full_store_of_many_keys_deletes_and_opens_again_under_its_budget() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    // Without an image of the index, so that opening it reads the log.
    let backup = directory.path().join("backup");
    let options = options(KeyStorage::OnDisk, 16 << 20);
    let path = directory.path().join("store");
    let store = Store::open(&path, &options).unwrap();
    let full = fill(&store, 0);
    assert!(full > 1_500_000);
    for number in (0..full).step_by(2) {
        assert!(store.delete(&key(number)).unwrap());
    }
    store.backup(&backup, &mut |_, _| true).unwrap();
    let left = full / 2;
    assert_eq!(store.count(), left);
    fill_beyond(&store, full, full + left / 10 * 9);
    let count = store.count();
    store.close().unwrap();
    for (path, count) in [(path, count), (backup, left)] {
        let store = Store::open(&path, &options).unwrap();
        assert_eq!(store.count(), count);
        assert_eq!(store.get(&key(1)).unwrap().as_deref(), Some(&b"value"[..]));
        assert_eq!(store.get(&key(2)).unwrap(), None);
        assert!(store.delete(&key(1)).unwrap());
        store.close().unwrap();
    }
}

#[test]
fn a_raised_budget_puts_work_again_and_a_lowered_one_refuses_growth() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &options(KeyStorage::OnDisk, 2 << 20)).unwrap();
    let full = fill(&store, 0);
    store.set_memory_budget(3 << 20).unwrap();
    let more = fill_beyond(&store, full, full + full / 10);
    store.set_memory_budget(0).unwrap();
    for number in more..more + full {
        store.put(&key(number), b"value").unwrap();
    }
    let used = store.stats().memory_used_bytes;
    store.set_memory_budget(2 << 20).unwrap();
    let keys = store.count();
    let lowered = fill(&store, more + full);
    assert!(store.stats().memory_used_bytes <= used);
    // Tables grow by a tenth, so that no more have room in those that are there.
    assert!(lowered < more + full + keys / 10);
    let refused = store.set_memory_budget(1000).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    store.close().unwrap();
}

#[test]
fn a_store_that_does_not_fit_is_refused_with_both_figures_and_what_would_fit() {
    let _alone = alone();
    for close in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let unlimited = options(KeyStorage::InMemory, 0);
        let store = Store::open(directory.path(), &unlimited).unwrap();
        for number in 0..200_000 {
            store.put(&key(number), b"value").unwrap();
        }
        if close {
            store.close().unwrap();
        } else {
            store.sync().unwrap();
        }
        let copy = tempfile::tempdir().unwrap();
        copy_files(directory.path(), copy.path());
        drop(store);
        let limited = options(KeyStorage::InMemory, 4 << 20);
        let refused = Store::open(copy.path(), &limited).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::Memory, "{refused}");
        assert!(refused.message().contains("4194304"), "{refused}");
        assert!(
            refused.message().contains("FREYJA_KEYS_ON_DISK"),
            "{refused}"
        );
        let on_disk = options(KeyStorage::OnDisk, 4 << 20);
        let store = Store::open(copy.path(), &on_disk).unwrap();
        assert_eq!(store.count(), 200_000);
        store.close().unwrap();
        let unlimited = Store::open(copy.path(), &unlimited).unwrap();
        assert_eq!(unlimited.count(), 200_000);
    }
}

#[test]
fn the_least_budget_that_a_refusal_names_works() {
    let _alone = alone();
    for key_storage in STORAGES {
        let directory = tempfile::tempdir().unwrap();
        let refused = Store::open(directory.path(), &options(key_storage, 1))
            .err()
            .unwrap();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        let mut words = refused.message().split(' ').rev();
        let least = words.find_map(|word| word.parse().ok()).unwrap();
        let store = Store::open(directory.path(), &options(key_storage, least)).unwrap();
        for number in 0..1000 {
            store.put(&key(number), b"value").unwrap();
        }
        store.close().unwrap();
        let store = Store::open(directory.path(), &options(key_storage, least)).unwrap();
        assert_eq!(store.count(), 1000);
    }
}

#[test]
fn a_batch_that_does_not_fit_is_refused_whole() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &options(KeyStorage::OnDisk, 2 << 20)).unwrap();
    let full = fill(&store, 0);
    let mut batch = Batch::default();
    for number in full..2 * full {
        batch.put(&key(number), b"value").unwrap();
    }
    let refused = store.write(&batch).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Memory);
    assert!((full..2 * full).all(|number| store.get(&key(number)).unwrap().is_none()));
    assert_eq!(store.stats().last_sequence, full);
    store.close().unwrap();
}

fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
