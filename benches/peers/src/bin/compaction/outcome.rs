//! What came of measuring one store, as its process prints it: lines of a name and what belongs to it.

use std::collections::HashMap;

use freyja_peers::engine::Counters;

/// Operations by what the store's threads did: anything, something, nothing.
pub const ALL: &str = "all";
pub const AT_WORK: &str = "at work";
pub const AT_REST: &str = "at rest";

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing was compacted.
    Idle,
    /// The data set was overwritten again and again.
    Overwrite,
}

impl Phase {
    /// Its name in the lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Overwrite => "overwrite",
        }
    }
}

/// How long operations took, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latency {
    pub count: u64,
    pub half: u64,
    pub of_100: u64,
    pub of_1000: u64,
    pub longest: u64,
    /// How many took more than a millisecond.
    pub stalls: u64,
    /// Of these, how many did so without the time that their thread was ready and had no processor.
    pub own_stalls: u64,
}

/// Space and writing at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moment {
    pub seconds: f64,
    /// How often the data set has been overwritten.
    pub times: f64,
    pub disk_bytes: f64,
    pub written: f64,
    pub counters: Counters,
}

/// Latencies of a part of the time.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub seconds: f64,
    pub of_100: f64,
    pub longest: f64,
}

/// An operation that took long.
#[derive(Clone, Debug)]
pub struct Slow {
    /// Its kind, and when it was in which phase.
    pub what: String,
    pub microseconds: f64,
    /// For how long its thread was ready and had no processor.
    pub waited: f64,
    pub met: String,
}

/// All that was measured.
#[derive(Default)]
pub struct Outcome {
    /// Why nothing was.
    pub absent: Option<String>,
    pub version: String,
    latencies: HashMap<String, Latency>,
    /// The part of the time that the store's threads were at work.
    at_work: HashMap<String, f64>,
    pub moments: Vec<Moment>,
    windows: HashMap<String, Vec<Window>>,
    pub slow: Vec<Slow>,
}

impl Outcome {
    /// Reads what a process printed.
    pub fn parse(text: &str) -> Self {
        let mut outcome = Self::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split('\t').collect();
            outcome.take(&words);
        }
        outcome
    }

    fn take(&mut self, words: &[&str]) {
        let number = |at: usize| words[at].parse::<f64>().expect("a number");
        let count = |at: usize| words[at].parse::<u64>().expect("a number");
        match words[0] {
            "absent" => self.absent = Some(words[1].to_owned()),
            "version" => words[1].clone_into(&mut self.version),
            "at work" => {
                self.at_work.insert(words[1].to_owned(), number(2));
            }
            "latency" => {
                let latency = Latency {
                    count: count(4),
                    half: count(5),
                    of_100: count(6),
                    of_1000: count(7),
                    longest: count(8),
                    stalls: count(9),
                    own_stalls: count(10),
                };
                self.latencies.insert(words[1..4].join(" "), latency);
            }
            "sample" => self.moments.push(Moment {
                seconds: number(1),
                times: number(2),
                disk_bytes: number(3),
                written: number(4),
                counters: Counters {
                    disk_bytes: count(5),
                    live_bytes: count(6),
                    written_bytes: count(7),
                    compaction_bytes: count(8),
                },
            }),
            "window" => {
                let window = Window {
                    seconds: number(2),
                    of_100: number(3),
                    longest: number(4),
                };
                let windows = self.windows.entry(words[1].to_owned()).or_default();
                windows.push(window);
            }
            "slow" => self.slow.push(Slow {
                what: format!("{} {} at {:.3} s", words[1], words[2], number(3) / 1e6),
                microseconds: number(4) / 1e3,
                waited: number(5) / 1e3,
                met: words[6].to_owned(),
            }),
            _ => panic!("the process that measured printed {words:?}"),
        }
    }

    /// How long operations of `kind`, `put` or `get`, took in `phase`, those of the group [`ALL`], [`AT_WORK`] or [`AT_REST`].
    pub fn latency(&self, phase: Phase, kind: &str, group: &str) -> Latency {
        let key = format!("{} {kind} {group}", phase.name());
        self.latencies.get(&key).copied().unwrap_or_default()
    }

    /// The part of the time that the store's threads were at work.
    pub fn at_work(&self, phase: Phase) -> f64 {
        self.at_work.get(phase.name()).copied().unwrap_or(0.0)
    }

    /// Latencies of `put` or `get` over time.
    pub fn windows(&self, kind: &str) -> &[Window] {
        self.windows.get(kind).map_or(&[], Vec::as_slice)
    }

    /// How often the data set had been overwritten at a moment.
    pub fn times_at(&self, seconds: f64) -> f64 {
        let next = self.moments.iter().find(|it| it.seconds >= seconds);
        next.or(self.moments.last()).map_or(0.0, |it| it.times)
    }
}
