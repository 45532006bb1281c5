//! What to measure, from the command line.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

/// What a process started by the benchmark itself does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Child {
    /// Makes a store and closes it.
    Fill,
    /// Writes what nearly fills one more segment, no image, and is killed.
    Extend,
    /// Opens the store, gets one value, tells how long that took, and is killed.
    Open,
}

impl Child {
    const NAMES: [(Child, &'static str); 3] = [
        (Child::Fill, "fill"),
        (Child::Extend, "extend"),
        (Child::Open, "open"),
    ];

    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].1
    }

    fn named(name: &str) -> Option<Child> {
        let mut names = Self::NAMES.iter();
        Some(names.find(|(_, known)| *known == name)?.0)
    }
}

pub struct Arguments {
    pub keys: u64,
    /// Lengths of the values.
    pub values: RangeInclusive<usize>,
    /// How often each key is put.
    pub rounds: u64,
    /// How often each state is opened.
    pub repeat: u32,
    /// Whether the store may have background threads.
    pub threads: u32,
    /// Where stores are made; for a child, its store.
    pub directory: PathBuf,
    pub child: Option<Child>,
}

impl Arguments {
    pub fn parse() -> Arguments {
        let mut parsed = Arguments {
            keys: 1_000_000,
            values: 8..=100,
            rounds: 1,
            repeat: 3,
            threads: 1,
            directory: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
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
                "--keys" => parsed.keys = number(&name, &value),
                "--values" => parsed.values = range(&name, &value),
                "--rounds" => parsed.rounds = number(&name, &value),
                "--repeat" => parsed.repeat = number(&name, &value),
                "--threads" => parsed.threads = number(&name, &value),
                "--directory" => parsed.directory = PathBuf::from(&value),
                "--child" => {
                    let child = Child::named(&value);
                    parsed.child = child.or_else(|| refuse(&format!("unknown child {value}")));
                }
                _ => refuse(&format!("unknown argument {name}")),
            }
        }
        if parsed.keys == 0 || parsed.rounds == 0 || parsed.values.is_empty() {
            refuse("there must be a key, a put of it, and a length for its value");
        }
        parsed
    }
}

fn range(name: &str, value: &str) -> RangeInclusive<usize> {
    match value.split_once('-') {
        Some((least, most)) => number(name, least)..=number(name, most),
        None => number(name, value)..=number(name, value),
    }
}

fn number<T: FromStr>(name: &str, value: &str) -> T {
    value
        .parse()
        .unwrap_or_else(|_| refuse(&format!("{name}: {value} is not a number")))
}

fn refuse(message: &str) -> ! {
    eprintln!(
        "{message}\nusage: [--keys N] [--values MIN-MAX] [--rounds N] [--repeat N] [--threads 0|1] [--directory DIR]"
    );
    std::process::exit(2);
}
