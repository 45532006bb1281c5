//! What is measured of one store and one size in one round, in parts that are kept on their own.

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use freyja_peers::engine::{self, Kind};
use freyja_peers::pairs::KEY_LEN;

use crate::arguments::Task;
use freyja_peers::resources::{disk_bytes, forget};

/// How many pairs, and how long their values are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Number of pairs.
    pub pairs: u64,
    /// Length in bytes of their values.
    pub value_len: usize,
}

impl Size {
    /// Bytes of all keys and values.
    pub fn raw_bytes(self) -> u64 {
        self.pairs * (KEY_LEN + self.value_len) as u64
    }
}

/// A part that is measured as a whole.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// One process.
    Process(Task),
    /// A store is filled and closed; then it is opened, and opened again when the page cache has forgotten it.
    Closed,
    /// A store is filled by a process that is killed, and opened.
    Killed,
}

impl Part {
    /// All that is measured of `kind`; `durable` says whether it is the size at which durable puts are.
    pub fn all(kind: Kind, durable: bool) -> Vec<Self> {
        let mut parts = vec![Self::Process(Task::Work), Self::Process(Task::FillTogether)];
        if kind.has_more {
            parts.push(Self::Process(Task::FillPacked));
            parts.push(Self::Process(Task::FillUntold));
            parts.push(Self::Process(Task::ReadTrusting));
        }
        if kind.is_store {
            parts.extend([Self::Closed, Self::Killed]);
        }
        if durable {
            parts.push(Self::Process(Task::Durable));
        }
        parts
    }

    /// Its name in what is kept and in what shows the progress.
    pub fn name(self) -> &'static str {
        match self {
            Self::Process(task) => task.name(),
            Self::Closed => "closed",
            Self::Killed => "killed",
        }
    }

    /// Measures it with stores in `directory`; answers lines that [`crate::results`] knows.
    pub fn measure(self, kind: Kind, size: Size, directory: &Path, library: &Path) -> String {
        let place = tempfile::tempdir_in(directory).expect("a temporary directory");
        let store = &place.path().join("store");
        let start = |task| child(kind, task, size, store, library);
        match self {
            Self::Process(task) => start(task),
            Self::Closed => {
                start(Task::FillAndClose);
                let disk = disk_bytes(store);
                let warm = renamed(&start(Task::Open), "clean");
                forget(store);
                let cold = renamed(&start(Task::Open), "cold");
                format!("number\tdisk\t{disk}\n{warm}{cold}")
            }
            Self::Killed => {
                start(Task::FillAndDie);
                renamed(&start(Task::OpenKilled), "after a kill")
            }
        }
    }
}

/// What a process that opened a store printed, under names that say which state the store was in.
fn renamed(text: &str, state: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once('\t') {
        Some(("number", rest)) => format!("number\treopen {state}, {rest}\n"),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

/// Runs this program again for `task`; answers what it printed.
fn child(kind: Kind, task: Task, size: Size, store: &Path, library: &Path) -> String {
    let output = Command::new(env::current_exe().expect("the benchmark knows where it is"))
        .args(["--child", task.name(), "--engines", kind.name])
        .args(["--pairs", &size.pairs.to_string()])
        .args(["--value-len", &size.value_len.to_string()])
        .arg("--directory")
        .arg(store)
        .env(engine::FREYJA_LIBRARY, library)
        .output()
        .expect("the benchmark can start itself");
    let killed = task == Task::FillAndDie && output.status.signal() == Some(libc::SIGKILL);
    let missing = !killed && !output.status.success();
    if missing && task == Task::OpenKilled {
        // What it says may name files of this machine, so it goes to who watches alone.
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        return format!("number\tlost\t{}\n", size.pairs);
    }
    assert!(
        !missing,
        "{} {}: {}{}",
        kind.name,
        task.name(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
