//! What to measure, from the command line.

use std::path::PathBuf;

use freyja_peers::command_line::{choice, number, refuse, words};
use freyja_peers::target_folder;

/// What a process started by the benchmark itself does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Child {
    /// Fills a store, works with it and closes it.
    Work,
    /// The same with a store that stores nothing: what the benchmark itself takes.
    Nothing,
    /// Opens the store that was closed, puts a little, and is killed.
    OpenAndDie,
    /// Opens the store that was left so.
    Open,
}

impl Child {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Work, "work"),
        (Self::Nothing, "nothing"),
        (Self::OpenAndDie, "open-and-die"),
        (Self::Open, "open"),
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// What to measure, and where.
pub struct Arguments {
    /// Numbers of pairs; for a child, its one.
    pub sizes: Vec<u64>,
    /// How often everything is measured.
    pub rounds: usize,
    /// Where stores are made, each in a directory of its own that is removed again; for a child, its store.
    pub directory: PathBuf,
    /// Whether to write the result to `docs/benchmarks/scale`.
    pub record: bool,
    /// What this process is to do, if another one has started it.
    pub child: Option<Child>,
    /// The arguments as given, but for the directory.
    pub given: String,
}

const SIZES: [u64; 5] = [1_000_000, 3_000_000, 10_000_000, 30_000_000, 100_000_000];
const SMALL: [u64; 3] = [100_000, 300_000, 1_000_000];
const USAGE: &str = "[--small] [--most N] [--rounds N] [--directory DIR] [--record]";

impl Arguments {
    /// Ends the process if they make no sense.
    pub fn parse() -> Self {
        let mut parsed = Self {
            sizes: SIZES.to_vec(),
            rounds: 3,
            directory: target_folder("bench-scale"),
            record: false,
            child: None,
            given: String::new(),
        };
        let mut most = u64::MAX;
        let mut small = "";
        let mut arguments = words();
        while let Some(name) = arguments.next() {
            let mut value = || {
                let value = arguments.next();
                value.unwrap_or_else(|| refuse(&format!("{name} needs a value"), USAGE))
            };
            match name.as_str() {
                "--small" => {
                    small = "--small ";
                    parsed.sizes = SMALL.to_vec();
                    parsed.rounds = 1;
                }
                "--most" => most = number(&name, &value(), USAGE),
                "--pairs" => parsed.sizes = vec![number(&name, &value(), USAGE)],
                "--rounds" => parsed.rounds = number(&name, &value(), USAGE),
                "--directory" => parsed.directory = PathBuf::from(value()),
                "--record" => parsed.record = true,
                "--child" => parsed.child = Some(choice(&name, &value(), &Child::ALL, USAGE)),
                _ => refuse(&format!("unknown argument {name}"), USAGE),
            }
        }
        parsed.sizes.retain(|size| *size <= most);
        let possible = parsed.sizes.iter().all(|size| *size >= 1000);
        if parsed.sizes.is_empty() || !possible || parsed.rounds == 0 {
            refuse("the smallest size, at least, and a round", USAGE);
        }
        let largest = parsed.sizes[parsed.sizes.len() - 1];
        parsed.given = format!("{small}--most {largest} --rounds {}", parsed.rounds);
        parsed
    }
}
