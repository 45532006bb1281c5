//! What to measure, from the command line.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use crate::command_line::{choice, number, refuse, words};

const USAGE: &str =
    "[--keys N] [--values MIN-MAX] [--rounds N] [--repeat N] [--threads 0|1] [--directory DIR]";

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
        let mut arguments = words();
        while let Some(name) = arguments.next() {
            let value = arguments
                .next()
                .unwrap_or_else(|| refuse(&format!("{name} needs a value"), USAGE));
            match name.as_str() {
                "--keys" => parsed.keys = number(&name, &value, USAGE),
                "--values" => parsed.values = range(&name, &value),
                "--rounds" => parsed.rounds = number(&name, &value, USAGE),
                "--repeat" => parsed.repeat = number(&name, &value, USAGE),
                "--threads" => parsed.threads = number(&name, &value, USAGE),
                "--directory" => parsed.directory = PathBuf::from(&value),
                "--child" => parsed.child = Some(choice(&name, &value, &Child::NAMES, USAGE)),
                _ => refuse(&format!("unknown argument {name}"), USAGE),
            }
        }
        if parsed.keys == 0 || parsed.rounds == 0 || parsed.values.is_empty() {
            refuse(
                "there must be a key, a put of it, and a length for its value",
                USAGE,
            );
        }
        parsed
    }
}

fn range(name: &str, value: &str) -> RangeInclusive<usize> {
    match value.split_once('-') {
        Some((least, most)) => number(name, least, USAGE)..=number(name, most, USAGE),
        None => number(name, value, USAGE)..=number(name, value, USAGE),
    }
}
