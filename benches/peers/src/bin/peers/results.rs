//! What was measured.

use std::collections::BTreeMap;

use freyja_peers::median::median;
use serde_json::{Value, json};

use crate::parts::Size;

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
    /// What could not be measured, and why, by store.
    pub absent: BTreeMap<String, String>,
}

impl Results {
    /// The median of what was measured.
    pub fn median(&self, place: &Place) -> Option<f64> {
        median(self.numbers.get(place)?)
    }

    /// All numbers of one size, for other programs.
    pub fn json(&self, size: Size) -> Value {
        let is_of_size =
            |place: &Place| (place.pairs, place.value_len) == (size.pairs, size.value_len);
        let numbers = self.numbers.iter().filter(|(place, _)| is_of_size(place));
        let numbers = numbers.map(|(place, measured)| {
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
                ["number", what, text] => number(what, text),
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
