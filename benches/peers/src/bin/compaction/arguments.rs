//! What to measure, from the command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use freyja_peers::command_line::{number, refuse, words};
use freyja_peers::engine::{KINDS, Kind};
use freyja_peers::pairs::KEY_LEN;

/// Which keys are overwritten and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Each as often as any other.
    Uniform,
    /// Few of them most of the time.
    Zipfian,
}

impl Keys {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Uniform, Self::Zipfian];

    /// The name in reports, file names and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipfian => "zipfian",
        }
    }
}

/// What a child process is to do.
pub struct Child {
    pub kind: Kind,
    pub keys: Keys,
}

/// What to measure, and where.
pub struct Arguments {
    /// Bytes of keys and values of the data set.
    pub data_bytes: u64,
    /// Length in bytes of every value.
    pub value_len: usize,
    /// How often the data set is overwritten.
    pub times: u64,
    /// Bytes of keys and values that are put in a second.
    pub put_bytes_per_second: u64,
    /// How many gets in a millisecond.
    pub gets_per_millisecond: u64,
    /// How long puts and gets are measured while nothing is compacted.
    pub idle: Duration,
    /// The stores.
    pub kinds: Vec<Kind>,
    /// Where stores are made, each in a directory of its own that is removed again; for a child, its own.
    pub directory: PathBuf,
    /// Where the report goes.
    pub output: PathBuf,
    /// What this process is to do, if another one has started it.
    pub child: Option<Child>,
}

const USAGE: &str = "[--small] [--data-mib N] [--value-len N] [--times N] [--put-mib-per-second N] [--gets-per-millisecond N] \
     [--idle-seconds N] [--engines Freyja,LevelDB,RocksDB] [--directory DIR] [--output DIR]";

/// The stores of this benchmark, all of which compact.
const MEASURED: [&str; 3] = ["Freyja", "LevelDB", "RocksDB"];

impl Arguments {
    /// Ends the process if they make no sense.
    pub fn parse() -> Self {
        let output = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/benchmarks/compaction");
        let mut parsed = Self {
            data_bytes: 256 << 20,
            value_len: 400,
            times: 10,
            put_bytes_per_second: 40 << 20,
            gets_per_millisecond: 20,
            idle: Duration::from_secs(5),
            kinds: MEASURED.map(kind).to_vec(),
            directory: std::env::current_dir().expect("a current directory"),
            output,
            child: None,
        };
        let mut keys = None;
        let mut arguments = words();
        while let Some(name) = arguments.next() {
            let mut value = || {
                let value = arguments.next();
                value.unwrap_or_else(|| refuse(&format!("{name} needs a value"), USAGE))
            };
            match name.as_str() {
                "--small" => {
                    parsed.data_bytes = 64 << 20;
                    parsed.put_bytes_per_second = 80 << 20;
                    parsed.idle = Duration::from_secs(1);
                }
                "--data-mib" => parsed.data_bytes = number::<u64>(&name, &value(), USAGE) << 20,
                "--value-len" => parsed.value_len = number(&name, &value(), USAGE),
                "--times" => parsed.times = number(&name, &value(), USAGE),
                "--put-mib-per-second" => {
                    parsed.put_bytes_per_second = number::<u64>(&name, &value(), USAGE) << 20
                }
                "--gets-per-millisecond" => {
                    parsed.gets_per_millisecond = number(&name, &value(), USAGE)
                }
                "--idle-seconds" => {
                    parsed.idle = Duration::from_secs(number(&name, &value(), USAGE))
                }
                "--engines" => parsed.kinds = value().split(',').map(kind).collect(),
                "--directory" => parsed.directory = PathBuf::from(value()),
                "--output" => parsed.output = PathBuf::from(value()),
                "--child" => keys = Some(value()),
                _ => refuse(&format!("unknown argument {name}"), USAGE),
            }
        }
        parsed.child = keys.map(|name| {
            let keys = Keys::ALL.into_iter().find(|keys| keys.name() == name);
            Child {
                kind: parsed.kinds[0],
                keys: keys.unwrap_or_else(|| refuse("no such keys", USAGE)),
            }
        });
        parsed.check();
        parsed
    }

    fn check(&self) {
        let possible = (1..=8192).contains(&self.value_len)
            && (1 << 20..=1 << 40).contains(&self.data_bytes)
            && (1..=1000).contains(&self.times)
            && (1 << 20..=1 << 34).contains(&self.put_bytes_per_second)
            && (1..=1000).contains(&self.gets_per_millisecond)
            && !self.idle.is_zero();
        if !possible {
            refuse(
                "data of 1 to 1048576 MiB, values of 1 to 8192 bytes, 1 to 1000 times, 1 to 16384 MiB and 1000 to 1000000 gets a second",
                USAGE,
            );
        }
    }

    /// How many pairs the data set has.
    pub fn pairs(&self) -> u64 {
        self.data_bytes / self.pair_len()
    }

    /// Bytes of a key and its value.
    pub fn pair_len(&self) -> u64 {
        (KEY_LEN + self.value_len) as u64
    }

    /// Bytes that LevelDB and RocksDB gather in memory: a sixteenth of the data, within what is usual.
    pub fn write_buffer(&self) -> usize {
        (self.data_bytes / 16).clamp(4 << 20, 64 << 20) as usize
    }

    /// All but where, as words of a command line.
    pub fn words(&self) -> Vec<String> {
        let numbers = [
            ("--data-mib", self.data_bytes >> 20),
            ("--value-len", self.value_len as u64),
            ("--times", self.times),
            ("--put-mib-per-second", self.put_bytes_per_second >> 20),
            ("--gets-per-millisecond", self.gets_per_millisecond),
            ("--idle-seconds", self.idle.as_secs()),
        ];
        let words = numbers.into_iter();
        words
            .flat_map(|(name, number)| [name.to_owned(), number.to_string()])
            .collect()
    }
}

fn kind(name: &str) -> Kind {
    let measured = MEASURED.contains(&name);
    let kind = KINDS.into_iter().find(|kind| measured && kind.name == name);
    kind.unwrap_or_else(|| refuse(&format!("{name} is none of the stores"), USAGE))
}
