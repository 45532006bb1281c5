//! What was measured, and how it is kept.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use freyja_peers::median::median;
use serde_json::{Value, json};

/// What a number is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Name of the store.
    pub engine: String,
    /// Number of pairs.
    pub pairs: u64,
    /// Length in bytes of the values.
    pub value_len: usize,
    /// The work and what was measured of it, such as "fill, a second".
    pub what: String,
}

/// All numbers, several of each.
#[derive(Default)]
pub struct Results {
    numbers: BTreeMap<Place, Vec<f64>>,
    /// The version of each store.
    pub versions: BTreeMap<String, String>,
    /// The stores that could not be measured, and why.
    pub absent: BTreeMap<String, String>,
}

impl Results {
    /// The median of what was measured.
    pub fn median(&self, place: &Place) -> Option<f64> {
        median(self.numbers.get(place)?)
    }

    /// All numbers, for other programs.
    pub fn json(&self) -> Value {
        let numbers = self.numbers.iter().map(|(place, measured)| {
            json!({
                "engine": place.engine, "pairs": place.pairs, "value_len": place.value_len,
                "what": place.what, "measured": measured, "median": median(measured),
            })
        });
        json!({
            "versions": self.versions, "absent": self.absent,
            "numbers": numbers.collect::<Vec<_>>(),
        })
    }

    /// Takes in what one process of `engine` printed.
    pub fn add(&mut self, engine: &str, pairs: u64, value_len: usize, text: &str) {
        for line in text.lines() {
            let words: Vec<&str> = line.split('\t').collect();
            let mut number = |what: &str, text: &str| {
                let place = Place {
                    engine: engine.to_owned(),
                    pairs,
                    value_len,
                    what: what.to_owned(),
                };
                let number = text.parse().expect("a child prints numbers");
                self.numbers.entry(place).or_default().push(number);
            };
            match words[..] {
                ["work", name, rate, half, of_100, of_1000] => {
                    number(&format!("{name}, a second"), rate);
                    number(&format!("{name}, p50"), half);
                    number(&format!("{name}, p99"), of_100);
                    number(&format!("{name}, p99.9"), of_1000);
                }
                ["memory", anonymous, file] => {
                    number("memory, anonymous", anonymous);
                    number("memory, of files", file);
                }
                ["disk", bytes] => number("disk", bytes),
                ["reopen", how, milliseconds] => number(&format!("reopen {how}"), milliseconds),
                ["version", version] => {
                    self.versions.insert(engine.to_owned(), version.to_owned());
                }
                ["absent", why] => {
                    self.absent.insert(engine.to_owned(), why.to_owned());
                }
                _ => panic!("a child printed {line}"),
            }
        }
    }
}

/// What earlier processes of an unfinished run have printed, by what they measured.
pub struct Kept {
    file: File,
    texts: BTreeMap<String, String>,
}

impl Kept {
    /// Opens or makes the file `path`. What was measured of another `commit` does not count.
    pub fn open(path: &Path, commit: &str) -> io::Result<Self> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            read => read.unwrap_or_default(),
        };
        let mut lines = text.lines();
        let same = lines.next() == Some(&json!(commit).to_string());
        let pair = |line: &str| serde_json::from_str::<(String, String)>(line).ok();
        let texts = match same {
            true => lines.filter_map(pair).collect(),
            false => BTreeMap::new(),
        };
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        if !same {
            file.set_len(0)?;
            writeln!(file, "{}", json!(commit))?;
        }
        Ok(Self { file, texts })
    }

    /// What has been printed for `measured`; `None` if that has not been run yet.
    pub fn text(&self, measured: &str) -> Option<&str> {
        self.texts.get(measured).map(String::as_str)
    }

    /// Keeps what has been printed for `measured`.
    pub fn keep(&mut self, measured: String, text: String) -> io::Result<()> {
        writeln!(self.file, "{}", json!([&measured, &text]))?;
        self.texts.insert(measured, text);
        Ok(())
    }
}
