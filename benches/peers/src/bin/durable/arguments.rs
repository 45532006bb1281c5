//! What to measure, from the command line.

use std::path::PathBuf;
use std::time::Duration;

use freyja_peers::command_line::{number, refuse, words};

/// What to measure, and where.
pub struct Arguments {
    /// Numbers of threads.
    pub threads: Vec<usize>,
    /// How often everything takes its turn.
    pub rounds: usize,
    /// How long a turn takes.
    pub turn: Duration,
    /// Where stores and files are made, in a directory of its own that is removed again.
    pub directory: PathBuf,
    /// Whether to write the result to `docs/benchmarks`.
    pub record: bool,
    /// The arguments as given, but for the directory.
    pub given: String,
}

const USAGE: &str =
    "[--threads 1,2,8,32] [--rounds N] [--milliseconds N] [--directory DIR] [--record]";

impl Arguments {
    /// Ends the process if they make no sense.
    pub fn parse() -> Self {
        let mut parsed = Self {
            threads: vec![1, 2, 8, 32],
            rounds: 15,
            turn: Duration::from_millis(200),
            directory: std::env::current_dir().expect("a current directory"),
            record: false,
            given: String::new(),
        };
        let mut arguments = words();
        while let Some(name) = arguments.next() {
            let mut value = || {
                let value = arguments.next();
                value.unwrap_or_else(|| refuse(&format!("{name} needs a value"), USAGE))
            };
            match name.as_str() {
                "--threads" => {
                    parsed.threads = value()
                        .split(',')
                        .map(|text| number(&name, text, USAGE))
                        .collect()
                }
                "--rounds" => parsed.rounds = number(&name, &value(), USAGE),
                "--milliseconds" => {
                    parsed.turn = Duration::from_millis(number(&name, &value(), USAGE))
                }
                "--directory" => parsed.directory = PathBuf::from(value()),
                "--record" => parsed.record = true,
                _ => refuse(&format!("unknown argument {name}"), USAGE),
            }
        }
        let within = parsed
            .threads
            .iter()
            .all(|count| (1..=1024).contains(count));
        if !within || parsed.rounds == 0 || parsed.turn.is_zero() {
            refuse(
                "threads must be 1 to 1024, rounds and milliseconds at least 1",
                USAGE,
            );
        }
        let threads: Vec<String> = parsed.threads.iter().map(usize::to_string).collect();
        let (threads, rounds, turn) = (threads.join(","), parsed.rounds, parsed.turn.as_millis());
        parsed.given = format!("--threads {threads} --rounds {rounds} --milliseconds {turn}");
        parsed
    }
}
