//! What to measure, from the command line and the environment.

use std::path::PathBuf;
use std::str::FromStr;

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

    fn named(name: &str) -> Option<Child> {
        Self::NAMES
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(child, _)| *child)
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
        let mut arguments = std::env::args()
            .skip(1)
            .filter(|argument| argument != "--bench");
        while let Some(name) = arguments.next() {
            let value = arguments
                .next()
                .unwrap_or_else(|| refuse(&format!("{name} needs a value")));
            match name.as_str() {
                "--pairs" => parsed.pairs = number(&name, &value),
                "--rounds" => parsed.rounds = number(&name, &value),
                "--directory" => parsed.directory = PathBuf::from(value),
                "--library" => parsed.library = Some(PathBuf::from(value)),
                "--child" => {
                    parsed.child = Some(
                        Child::named(&value)
                            .unwrap_or_else(|| refuse(&format!("unknown child {value}"))),
                    );
                }
                _ => refuse(&format!("unknown argument {name}")),
            }
        }
        if parsed.pairs == 0 || parsed.pairs > u32::MAX as usize / 2 || parsed.rounds == 0 {
            refuse("pairs must be 1 to 2147483647 and rounds at least 1");
        }
        parsed
    }
}

fn from_environment(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |value| number(name, &value))
}

fn number<T: FromStr>(name: &str, value: &str) -> T {
    value
        .parse()
        .unwrap_or_else(|_| refuse(&format!("{name}: {value} is not a number")))
}

fn refuse(message: &str) -> ! {
    eprintln!(
        "{message}\nusage: [--pairs N] [--rounds N] [--directory DIR] [--library libfreyja.so]"
    );
    std::process::exit(2);
}
