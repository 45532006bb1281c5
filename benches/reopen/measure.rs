//! Starting children and reading what they tell, and what the system tells of them.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::arguments::{Arguments, Child};

/// How often a child's memory is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// One opening.
pub struct Opening {
    figures: Vec<u64>,
    peak_memory: u64,
}

impl Opening {
    pub const TITLES: &'static str = "state              to open ms  to first get ms  processor ms  way    records read        keys  peak MiB  index B/key";

    /// Opens `store` in a process of its own.
    pub fn of(arguments: &Arguments, store: &Path) -> Opening {
        let (told, peak_memory) = start(Child::Open, arguments, store);
        let numbers = told.split_whitespace().map(|number| number.parse());
        let figures = numbers.collect::<Result<Vec<u64>, _>>();
        let figures = figures.ok().filter(|figures| figures.len() == 7);
        Opening {
            figures: figures.unwrap_or_else(|| panic!("the child told {told}")),
            peak_memory,
        }
    }

    pub fn print(&self, state: &str) {
        let milliseconds = |position: usize| self.figures[position] as f64 / 1000.0;
        println!(
            "{state:<17} {:>12.1} {:>16.1} {:>13.1}  {:<5} {:>13} {:>11} {:>9} {:>12}",
            milliseconds(0),
            milliseconds(1),
            milliseconds(2),
            ["scan", "image"]
                .get(self.figures[3] as usize)
                .unwrap_or(&"?"),
            self.figures[4],
            self.figures[5],
            self.peak_memory >> 20,
            self.figures[6],
        );
    }
}

/// Runs this program again as `child` on `store`; gives back what it told, and the most memory that it had, files aside.
pub fn start(child: Child, arguments: &Arguments, store: &Path) -> (String, u64) {
    let program = std::env::current_exe().expect("the benchmark knows where it is");
    let values = format!("{}-{}", arguments.values.start(), arguments.values.end());
    let mut command = Command::new(program);
    command
        .args(["--child", child.name(), "--values", &values])
        .args(["--keys", &arguments.keys.to_string()])
        .args(["--rounds", &arguments.rounds.to_string()])
        .args(["--threads", &arguments.threads.to_string()])
        .arg("--directory")
        .arg(store)
        .stdout(Stdio::piped());
    let mut process = command.spawn().expect("the benchmark can start itself");
    let mut peak = 0;
    let status = loop {
        match process.try_wait().expect("the child can be waited for") {
            Some(status) => break status,
            None => peak = peak.max(anonymous_bytes(process.id()).unwrap_or(0)),
        }
        std::thread::sleep(LOOK);
    };
    let mut told = String::new();
    let mut output = process.stdout.take().expect("the output is a pipe");
    output.read_to_string(&mut told).expect("the child tells");
    let killed_itself = status.code().is_none();
    let as_told = match child {
        Child::Fill => status.success(),
        Child::Extend => killed_itself,
        Child::Open => killed_itself && !told.is_empty(),
    };
    assert!(as_told, "{command:?}: {status}");
    (told, peak)
}

/// Memory of a process that no file backs, as the system counts it.
fn anonymous_bytes(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let mut lines = status.lines();
    let line = lines.find(|line| line.starts_with("RssAnon:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}
