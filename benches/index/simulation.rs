//! Instructions and cache misses of a whole process: counted by the processor, where `perf` may ask it, else in valgrind's
//! simulation of a cache.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The cache that is simulated: 2 MiB, about what a core has for itself today, in 16 ways of 64-byte lines.
const SIMULATED_CACHE: &str = "2097152,16,64";

/// A simulation is some fifty times slower than the program itself.
const MOST_SIMULATED_KEYS: u64 = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    pub instructions: u64,
    pub cache_misses: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    Perf,
    Valgrind,
}

impl Counter {
    /// What can count on this machine the work on so many keys.
    ///
    /// # Errors
    /// Why there is none.
    pub fn find(count: u64) -> Result<Counter, String> {
        let true_program = Path::new("true");
        if Counter::Perf.count(true_program, &[]).is_some() {
            return Ok(Counter::Perf);
        }
        let no_perf = "perf is not there, or this machine gives it no counters";
        if Counter::Valgrind.count(true_program, &[]).is_none() {
            return Err(format!("{no_perf}; valgrind is not there either"));
        }
        if count > MOST_SIMULATED_KEYS {
            return Err(format!(
                "{no_perf}; valgrind's simulation would take too long for more than {MOST_SIMULATED_KEYS} keys"
            ));
        }
        Ok(Counter::Valgrind)
    }

    /// Where the counts come from.
    pub fn title(self) -> String {
        match self {
            Counter::Perf => "counted by the processor (perf)".to_owned(),
            Counter::Valgrind => format!(
                "in valgrind's simulation of one cache of {SIMULATED_CACHE} (bytes, ways, bytes of a line), without prefetching"
            ),
        }
    }

    /// What the program does with these arguments; `None` if that cannot be counted.
    pub fn count(self, program: &Path, arguments: &[&str]) -> Option<Counts> {
        let output = self
            .command(program, arguments)
            .stdin(Stdio::null())
            .output();
        let output = output.ok().filter(|output| output.status.success())?;
        match self {
            Counter::Perf => perf_counts(&output),
            Counter::Valgrind => valgrind_counts(&output),
        }
    }

    fn command(self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = match self {
            Counter::Perf => {
                let mut command = Command::new("perf");
                command.args(["stat", "-x,", "-e", "instructions:u,cache-misses:u", "--"]);
                command
            }
            Counter::Valgrind => {
                let mut command = Command::new("valgrind");
                command
                    .args(["--tool=cachegrind", "--cache-sim=yes"])
                    .arg(format!("--LL={SIMULATED_CACHE}"))
                    .arg("--cachegrind-out-file=/dev/null");
                command
            }
        };
        command.arg(program).args(arguments);
        command
    }
}

/// Lines of a count, a unit and the event's name, separated by commas; where there is no count, words stand for it.
fn perf_counts(output: &Output) -> Option<Counts> {
    let text = String::from_utf8_lossy(&output.stderr);
    let count = |event: &str| -> Option<u64> {
        let line = text.lines().find(|line| line.contains(event))?;
        line.split(',').next()?.parse().ok()
    };
    Some(Counts {
        instructions: count("instructions")?,
        cache_misses: count("cache-misses")?,
    })
}

/// Lines of a name, a colon and a count whose digits are grouped by commas.
fn valgrind_counts(output: &Output) -> Option<Counts> {
    let text = String::from_utf8_lossy(&output.stderr);
    let count = |name: &str| -> Option<u64> {
        let line = text.lines().find(|line| line.contains(name))?;
        let count = line.split_once(':')?.1.split_whitespace().next()?;
        count.replace(',', "").parse().ok()
    };
    // Those of data; instructions of so small a program stay in the cache.
    Some(Counts {
        instructions: count("I   refs:").or_else(|| count("I refs:"))?,
        cache_misses: count("LLd misses:")?,
    })
}
