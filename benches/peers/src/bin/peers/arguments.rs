//! What to measure, from the command line.

use std::path::PathBuf;

use freyja_peers::command_line::{choice, number, refuse, words};
use freyja_peers::engine::{KINDS, Kind};
use freyja_peers::target_folder;

use crate::workload::MOST_PAIRS;

/// What a process started by the benchmark itself does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Does all kinds of work with a store that it fills.
    Work,
    /// Fills a store many pairs at a time.
    FillTogether,
    /// The same by a call that takes them packed.
    FillPacked,
    /// Fills a store that has not been told how many pairs will come.
    FillUntold,
    /// Fills a store that does not compare what it reads with checksums, and reads it.
    ReadTrusting,
    /// Fills a store and closes it.
    FillAndClose,
    /// Fills a store and is killed.
    FillAndDie,
    /// Opens a store, and tells how long it took to the first answer.
    Open,
    /// The same; what was put last may be lost, and is counted.
    OpenKilled,
    /// Puts that return when they are durable.
    Durable,
}

impl Task {
    const ALL: [(Self, &'static str); 10] = [
        (Self::Work, "work"),
        (Self::FillTogether, "fill-together"),
        (Self::FillPacked, "fill-packed"),
        (Self::FillUntold, "fill-untold"),
        (Self::ReadTrusting, "read-trusting"),
        (Self::FillAndClose, "fill-and-close"),
        (Self::FillAndDie, "fill-and-die"),
        (Self::Open, "open"),
        (Self::OpenKilled, "open-killed"),
        (Self::Durable, "durable"),
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// What a child process is to do, and with which store.
pub struct Child {
    pub task: Task,
    pub kind: Kind,
}

/// What to measure, and where.
pub struct Arguments {
    /// Numbers of pairs.
    pub pairs: Vec<u64>,
    /// Lengths in bytes of values.
    pub value_lens: Vec<usize>,
    /// The stores.
    pub kinds: Vec<Kind>,
    /// How often everything is measured.
    pub rounds: usize,
    /// Where stores are made, each in a directory of its own that is removed again, and what has been measured is kept; for a
    /// child, its store.
    pub directory: PathBuf,
    /// Whether to write the result to `docs/benchmarks/peers` and the README.
    pub record: bool,
    /// What this process is to do, if another one has started it.
    pub child: Option<Child>,
    /// The arguments as given, but for the directory.
    pub given: String,
}

const USAGE: &str = "[--small] [--pairs 1000000,10000000] [--value-len 100,4096] [--engines Freyja,LMDB] [--rounds N] [--directory DIR] [--record]";

impl Arguments {
    /// Ends the process if they make no sense.
    pub fn parse() -> Self {
        let mut parsed = Self {
            pairs: vec![1_000_000, 10_000_000],
            value_lens: vec![100, 4096],
            kinds: KINDS.to_vec(),
            rounds: 3,
            directory: target_folder("bench-peers"),
            record: false,
            child: None,
            given: String::new(),
        };
        let mut task = None;
        let mut arguments = words();
        while let Some(name) = arguments.next() {
            let mut value = || {
                let value = arguments.next();
                value.unwrap_or_else(|| refuse(&format!("{name} needs a value"), USAGE))
            };
            match name.as_str() {
                "--small" => {
                    parsed.pairs = vec![100_000];
                    parsed.value_lens = vec![100];
                    parsed.rounds = 1;
                }
                "--pairs" => {
                    parsed.pairs = value()
                        .split(',')
                        .map(|text| number(&name, text, USAGE))
                        .collect()
                }
                "--value-len" => {
                    parsed.value_lens = value()
                        .split(',')
                        .map(|text| number(&name, text, USAGE))
                        .collect()
                }
                "--engines" => parsed.kinds = value().split(',').map(kind).collect(),
                "--rounds" => parsed.rounds = number(&name, &value(), USAGE),
                "--directory" => parsed.directory = PathBuf::from(value()),
                "--record" => parsed.record = true,
                "--child" => task = Some(value()),
                _ => refuse(&format!("unknown argument {name}"), USAGE),
            }
        }
        parsed.child = task.map(|task| Child {
            task: choice("--child", &task, &Task::ALL, USAGE),
            kind: parsed.kinds[0],
        });
        let possible = parsed
            .pairs
            .iter()
            .all(|count| (2..=MOST_PAIRS).contains(count))
            && parsed.value_lens.iter().all(|len| (1..=8192).contains(len));
        if !possible || parsed.rounds == 0 {
            refuse(
                "pairs must be 2 to 536870912, values of 1 to 8192 bytes, rounds at least 1",
                USAGE,
            );
        }
        parsed.given = parsed.text();
        parsed
    }

    fn text(&self) -> String {
        fn list<T: ToString>(items: impl Iterator<Item = T>) -> String {
            items
                .map(|item| item.to_string())
                .collect::<Vec<_>>()
                .join(",")
        }
        let (pairs, lens) = (list(self.pairs.iter()), list(self.value_lens.iter()));
        let mut text = format!(
            "--pairs {pairs} --value-len {lens} --rounds {}",
            self.rounds
        );
        if self.kinds.len() < KINDS.len() {
            text += &format!(
                " --engines '{}'",
                list(self.kinds.iter().map(|kind| kind.name))
            );
        }
        text
    }
}

fn kind(name: &str) -> Kind {
    let kind = KINDS.into_iter().find(|kind| kind.name == name);
    kind.unwrap_or_else(|| refuse(&format!("{name} is none of the stores"), USAGE))
}
