//! What to measure, from the command line and the environment.

use std::path::PathBuf;

use crate::command_line::{choice, number, refuse, words};

const USAGE: &str = "[--pairs N] [--rounds N] [--directory DIR] [--library libfreyja.so]";

/// What a process started by the benchmark itself does instead of measuring.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Child {
    FillAndClose,
    FillAndDie,
    MemoryOfStore,
    MemoryOfHashMap,
}

impl Child {
    const NAMES: [(Child, &'static str); 4] = [
        (Child::FillAndClose, "fill-and-close"),
        (Child::FillAndDie, "fill-and-die"),
        (Child::MemoryOfStore, "memory-of-store"),
        (Child::MemoryOfHashMap, "memory-of-hash-map"),
    ];

    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].1
    }
}

pub struct Arguments {
    pub pairs: usize,
    pub rounds: usize,
    /// Where stores are made, each in a directory of its own that is removed again; for a child, its store.
    pub directory: PathBuf,
    /// The shared library, where it has been built already.
    pub library: Option<PathBuf>,
    pub child: Option<Child>,
}

impl Arguments {
    pub fn parse() -> Arguments {
        let mut parsed = Arguments {
            pairs: from_environment("FREYJA_BENCH_PAIRS", 1_000_000),
            rounds: from_environment("FREYJA_BENCH_ROUNDS", 5),
            directory: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
            library: None,
            child: None,
        };
        let mut arguments = words();
        while let Some(name) = arguments.next() {
            let value = arguments
                .next()
                .unwrap_or_else(|| refuse(&format!("{name} needs a value"), USAGE));
            match name.as_str() {
                "--pairs" => parsed.pairs = number(&name, &value, USAGE),
                "--rounds" => parsed.rounds = number(&name, &value, USAGE),
                "--directory" => parsed.directory = PathBuf::from(value),
                "--library" => parsed.library = Some(PathBuf::from(value)),
                "--child" => parsed.child = Some(choice(&name, &value, &Child::NAMES, USAGE)),
                _ => refuse(&format!("unknown argument {name}"), USAGE),
            }
        }
        if parsed.pairs == 0 || parsed.pairs > u32::MAX as usize / 2 || parsed.rounds == 0 {
            refuse("pairs must be 1 to 2147483647 and rounds at least 1", USAGE);
        }
        parsed
    }
}

fn from_environment(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |value| number(name, &value, USAGE))
}
