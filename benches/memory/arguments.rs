//! What to measure, from the command line.

use std::path::PathBuf;

use crate::contestants::Kind;
use crate::key_sets::KeySet;
use crate::parts::Part;

/// What a process started by the benchmark itself does with its contestant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Fills, and nothing else.
    Fill,
    /// Fills, then replaces every key twice, deletes half of the keys and adds them again.
    Churn,
    /// Fills, then deletes nine keys of ten.
    DeleteMost,
    /// Puts only the keys that `DeleteMost` leaves.
    PutTheRest,
    /// Counts from before the contestant was opened.
    Small,
}

impl Task {
    const NAMES: [(Task, &'static str); 5] = [
        (Task::Fill, "fill"),
        (Task::Churn, "churn"),
        (Task::DeleteMost, "delete-most"),
        (Task::PutTheRest, "put-the-rest"),
        (Task::Small, "small"),
    ];

    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].1
    }

    fn named(name: &str) -> Option<Task> {
        let mut names = Self::NAMES.iter();
        names
            .find(|(_, known)| *known == name)
            .map(|(task, _)| *task)
    }
}

/// What a child process is to do.
#[derive(Clone, Copy)]
pub struct Child {
    pub task: Task,
    pub kind: Kind,
}

pub struct Arguments {
    /// Numbers of keys, ascending.
    pub keys: Vec<u64>,
    pub key_sets: Vec<KeySet>,
    /// What is only filled: numbers of keys, of all sets or of one.
    pub fill_only: Vec<(u64, Option<KeySet>)>,
    /// A file of real keys, one a line.
    pub paths: Option<PathBuf>,
    /// Where stores are made, each in a directory of its own that is removed again; for a child, its store.
    pub directory: PathBuf,
    /// Whether to write the result to `docs/benchmarks`.
    pub record: bool,
    pub child: Option<Child>,
    /// What a child measures that has no contestant.
    pub part: Option<Part>,
    /// Leaves out everything with contestants.
    pub only_parts: bool,
    /// The arguments as given, but for the directory part of paths.
    pub given: String,
}

impl Arguments {
    /// Whether `keys` keys of `set` are only filled.
    pub fn only_fills(&self, keys: u64, set: KeySet) -> bool {
        let mut asked = self.fill_only.iter();
        asked.any(|(number, of)| *number == keys && of.is_none_or(|of| of == set))
    }

    pub fn parse() -> Arguments {
        let mut parsed = Arguments {
            keys: vec![1_000_000, 10_000_000],
            key_sets: KeySet::all(),
            fill_only: Vec::new(),
            paths: None,
            directory: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
            record: false,
            child: None,
            part: None,
            only_parts: false,
            given: String::new(),
        };
        let (mut task, mut kind) = (None, None);
        let mut given = Vec::new();
        let mut arguments = std::env::args()
            .skip(1)
            .filter(|argument| argument != "--bench");
        while let Some(name) = arguments.next() {
            given.push(name.clone());
            if name == "--record" {
                parsed.record = true;
                continue;
            }
            if name == "--only-parts" {
                parsed.only_parts = true;
                continue;
            }
            let value = arguments
                .next()
                .unwrap_or_else(|| refuse(&format!("{name} needs a value")));
            match name.as_str() {
                "--keys" => parsed.keys = list(&name, &value, number_of_keys),
                "--key-sets" => parsed.key_sets = list(&name, &value, KeySet::named),
                "--fill-only" => parsed.fill_only = list(&name, &value, keys_of_set),
                "--paths" => parsed.paths = Some(PathBuf::from(&value)),
                "--directory" => parsed.directory = PathBuf::from(&value),
                "--task" => task = list(&name, &value, Task::named).pop(),
                "--part" => parsed.part = list(&name, &value, Part::named).pop(),
                "--contestant" => kind = list(&name, &value, Kind::named).pop(),
                _ => refuse(&format!("unknown argument {name}")),
            }
            let shown = value.rsplit('/').next().unwrap_or(&value);
            given.push(shown.to_owned());
        }
        parsed.given = given.join(" ");
        parsed.keys.sort_unstable();
        parsed.keys.dedup();
        parsed.child = task.zip(kind).map(|(task, kind)| Child { task, kind });
        if parsed.child.is_none() && parsed.keys[0] < 1000 {
            refuse("--keys: at least 1000, so that every hundredth part of the fill is some keys");
        }
        parsed
    }
}

/// Digits, which may be grouped by `_`.
fn number_of_keys(text: &str) -> Option<u64> {
    let keys = text.replace('_', "").parse().ok()?;
    (keys <= 1 << 40).then_some(keys)
}

/// A number of keys, and after a colon the set that is meant if it is not all.
fn keys_of_set(text: &str) -> Option<(u64, Option<KeySet>)> {
    match text.split_once(':') {
        None => Some((number_of_keys(text)?, None)),
        Some((keys, set)) => Some((number_of_keys(keys)?, Some(KeySet::named(set)?))),
    }
}

fn list<T>(name: &str, values: &str, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
    let parsed = values.split(',').map(|value| {
        parse(value).unwrap_or_else(|| refuse(&format!("{name}: {value} is not possible")))
    });
    parsed.collect()
}

/// Says what is wrong with the arguments, and ends.
pub fn refuse(message: &str) -> ! {
    eprintln!(
        "{message}\nusage: [--keys N,N] [--key-sets 8,16,32,64,mixed,paths] [--fill-only N,N:SET] [--paths FILE] [--directory DIR] [--only-parts] [--record]"
    );
    std::process::exit(2);
}
