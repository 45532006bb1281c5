//! Every sequence of a few operations.

use freyja::vfs::SimulatedDisk;

use crate::harness::Told;
use crate::harness::crashes::{Counts, crash_everywhere};
use crate::harness::history::{History, State};
use crate::harness::operation::{ALPHABET, Operation, Value};
use crate::harness::setting::{EXHAUSTIVE, Setting};
use crate::harness::workload::Workload;

/// In what a sequence begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Nothing: not even the directory is there.
    New,
    /// A closed store with several segments, tombstones and, if the setting says so, an image.
    Used,
    /// A store that is open, and of whose segment only one more record is to come before the log goes to the next, which has been made
    /// ready.
    Prepared,
}

/// A start under one of the settings.
pub struct Begun {
    start: Start,
    setting: usize,
    /// A disk with a store, and what it holds.
    used: Option<(SimulatedDisk, State)>,
}

impl Begun {
    /// `start` under the setting with this number.
    pub fn new(start: Start, setting: usize) -> Told<Self> {
        let used = match start {
            Start::New | Start::Prepared => None,
            Start::Used => Some(used(EXHAUSTIVE[setting])?),
        };
        Ok(Self {
            start,
            setting,
            used,
        })
    }

    fn setting(&self) -> Setting {
        Setting {
            prepares: self.start == Start::Prepared,
            ..EXHAUSTIVE[self.setting]
        }
    }

    /// Runs `sequence`, of numbers of operations, and crashes its last operation at every call: those before were
    /// crashed as the end of a shorter sequence.
    pub fn crash_the_end_of(&self, sequence: &[usize]) -> Told<Counts> {
        let setting = self.setting();
        let seed = seed_of(sequence);
        self.run(sequence)
            .and_then(|history| crash_everywhere(&history, &setting, 3, seed))
            .map_err(|error| {
                let names: Vec<Operation> = sequence.iter().map(|it| ALPHABET[*it]).collect();
                let digit = |it: &usize| char::from_digit(*it as u32, 36);
                let digits: String = sequence.iter().filter_map(digit).collect();
                format!(
                    "FREYJA_SEQUENCE={:?}-{}-{digits} ({names:?}): {error}",
                    self.start, self.setting
                )
            })
    }

    /// What running `sequence` does to the disk in its last operation.
    pub fn run(&self, sequence: &[usize]) -> Told<History> {
        let setting = self.setting();
        let recording = sequence.is_empty();
        let mut workload = match &self.used {
            None => Workload::new(setting, 1, recording)?,
            Some((disk, state)) => Workload::go_on(setting, disk, state.clone(), recording)?,
        };
        if self.start == Start::Prepared {
            workload.record(false);
            // The first of a segment tells that two more are to come before the next segment, which is made then. The log comes
            // to the end of the second, in which nothing is dead, when the third is ready.
            let [medium, small] = [Value::Medium, Value::Small];
            let first = [(2, medium), (2, small), (2, small)];
            let second = [(3, medium), (1, small), (0, small)];
            for (key, value) in first.into_iter().chain(second) {
                workload.run(Operation::Put(key, value))?;
            }
            workload.record(recording);
        }
        for (position, operation) in sequence.iter().enumerate() {
            workload.record(position + 1 == sequence.len());
            workload.run(ALPHABET[*operation])?;
        }
        // The end of the workload is also where the process may end.
        Ok(workload.finish()?.0)
    }
}

fn used(setting: Setting) -> Told<(SimulatedDisk, State)> {
    let mut workload = Workload::new(setting, 2, false)?;
    for operation in [
        Operation::Put(0, Value::Small),
        Operation::Put(1, Value::Medium),
        Operation::Put(2, Value::Filling),
        Operation::Delete(1),
        Operation::Put(0, Value::Medium),
        Operation::Put(3, Value::Filling),
        Operation::Delete(2),
    ] {
        workload.run(operation)?;
    }
    let (history, disk) = workload.finish()?;
    let state = history.states.last().cloned().unwrap_or_default();
    Ok((disk, state))
}

/// What the consequences of crashes at the end of `sequence` follow from.
pub fn seed_of(sequence: &[usize]) -> u64 {
    sequence.iter().fold(1, |seed, it| seed * 13 + *it as u64)
}

/// The sequence of `length` operations with this number, its first operation being the fastest to change.
pub fn sequence(length: u32, mut number: u64) -> Vec<usize> {
    let mut operations = Vec::new();
    for _ in 0..length {
        operations.push((number % ALPHABET.len() as u64) as usize);
        number /= ALPHABET.len() as u64;
    }
    operations
}

/// How many sequences of `length` operations there are.
pub fn sequences(length: u32) -> u64 {
    (ALPHABET.len() as u64).pow(length)
}

/// Sequences that a crash was once not survived at the end of, as `FREYJA_SEQUENCE` tells them.
const ONCE_FAILED: [(Start, usize, &str); 1] = [
    // A batch of which not all reached the disk, in a segment behind numbers that were given away in vain.
    (Start::Prepared, 2, "9a6a"),
];

/// Those of [`ONCE_FAILED`].
pub fn once_failed() -> Told<Counts> {
    let mut counts = Counts::default();
    for (start, setting, digits) in ONCE_FAILED {
        counts.add(&Begun::new(start, setting)?.crash_the_end_of(&told(digits))?);
    }
    Ok(counts)
}

/// The sequence of these digits.
fn told(digits: &str) -> Vec<usize> {
    let digits = digits.chars().map(|it| it.to_digit(36));
    let sequence: Option<Vec<_>> = digits.collect();
    let sequence = sequence.expect("digits of the alphabet");
    sequence.iter().map(|it| *it as usize).collect()
}

/// All sequences of up to `length` operations after `start`, under every setting; or the one in `FREYJA_SEQUENCE`.
pub fn up_to(length: u32, start: Start) -> Told<Counts> {
    let mut counts = Counts::default();
    let only = std::env::var("FREYJA_SEQUENCE").ok();
    for setting in 0..EXHAUSTIVE.len() {
        let begun = Begun::new(start, setting)?;
        if let Some(only) = &only {
            let Some(digits) = only.strip_prefix(&format!("{start:?}-{setting}-")) else {
                continue;
            };
            counts.add(&begun.crash_the_end_of(&told(digits))?);
            continue;
        }
        for length in 0..=length {
            for number in 0..sequences(length) {
                counts.add(&begun.crash_the_end_of(&sequence(length, number))?);
            }
        }
    }
    Ok(counts)
}
