//! What was counted, as a document, and what has changed since.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

/// How much of what is recorded an operation may take more, in percent.
const MAY_GROW: u64 = 3;

/// The instructions of each operation.
#[derive(Debug, PartialEq, Eq)]
pub struct Record {
    built_with: String,
    /// With keys in memory and on disk.
    operations: BTreeMap<String, [u64; 2]>,
}

/// What the comparison of two records comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They are not of the same compiler, or not of the same operations.
    Incomparable(String),
    /// What has changed by more than a percent.
    Within(String),
    /// What has grown too much.
    Grown(String),
}

impl Record {
    pub fn new(
        built_with: &str,
        in_memory: &BTreeMap<String, u64>,
        on_disk: &BTreeMap<String, u64>,
    ) -> Self {
        let both = |(name, count): (&String, &u64)| (name.clone(), [*count, on_disk[name]]);
        Self {
            built_with: built_with.to_owned(),
            operations: in_memory.iter().map(both).collect(),
        }
    }

    /// What [`Display`] has written.
    pub fn parse(text: &str) -> Option<Self> {
        let built_with = text
            .lines()
            .find_map(|line| line.strip_prefix(BUILT_WITH))?;
        let operation = |line: &str| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let [_, name, in_memory, on_disk, _] = cells[..] else {
                return None;
            };
            let counts = [in_memory.parse().ok()?, on_disk.parse().ok()?];
            Some((name.to_owned(), counts))
        };
        Some(Self {
            built_with: built_with.trim_end_matches('.').to_owned(),
            operations: text.lines().filter_map(operation).collect(),
        })
    }

    /// Compares with what was recorded before.
    pub fn judge(&self, recorded: &Self) -> Verdict {
        if self.built_with != recorded.built_with {
            let (now, then) = (&self.built_with, &recorded.built_with);
            return Verdict::Incomparable(format!("built with {now}, recorded with {then}"));
        }
        if !self.operations.keys().eq(recorded.operations.keys()) {
            return Verdict::Grown("the operations are other ones".into());
        }
        let (mut changed, mut grown) = (Vec::new(), Vec::new());
        for (name, counts) in &self.operations {
            let storages = ["in memory", "on disk"].into_iter();
            let pairs = counts.iter().zip(recorded.operations[name]);
            for (storage, (&now, then)) in storages.zip(pairs) {
                let told = format!("{name} {storage} {then} -> {now}");
                if now * 100 > then * (100 + MAY_GROW) {
                    grown.push(told);
                } else if now.abs_diff(then) * 100 > then {
                    changed.push(told);
                }
            }
        }
        match grown.is_empty() {
            true if changed.is_empty() => Verdict::Within("as recorded, to a percent".into()),
            true => Verdict::Within(changed.join(", ")),
            false => Verdict::Grown(grown.join(", ")),
        }
    }
}

const BUILT_WITH: &str = "Built with ";

impl Display for Record {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Instructions per operation\n")?;
        writeln!(
            f,
            "Counted by `make instructions` with callgrind, which fails if one has grown by more than {MAY_GROW} %; `make instructions RENEW=1` writes \
             this page. Calls of the C interface\nof the static library by one thread: keys of 16 bytes, values of 100, 20,000 pairs, nothing synced, the \
             index made for so many keys, what the program itself takes\nsubtracted. What the system does in a system call is not counted.\n"
        )?;
        writeln!(f, "{BUILT_WITH}{}.\n", self.built_with)?;
        writeln!(f, "| operation | keys in memory | keys on disk |")?;
        writeln!(f, "|---|---:|---:|")?;
        for (name, [in_memory, on_disk]) in &self.operations {
            writeln!(f, "| {name} | {in_memory} | {on_disk} |")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(built_with: &str, counts: &[(&str, u64)]) -> Record {
        let counts = counts
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count));
        let counts: BTreeMap<_, _> = counts.collect();
        Record::new(built_with, &counts, &counts)
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let record = record("rustc 1 for x", &[("get hit", 1580), ("delete", 7)]);
        assert_eq!(Record::parse(&record.to_string()), Some(record));
    }

    #[test]
    fn what_grows_by_more_than_three_percent_is_noticed() {
        let recorded = record("r", &[("delete", 1000), ("get hit", 1000)]);
        let judged =
            |delete| record("r", &[("delete", delete), ("get hit", 1000)]).judge(&recorded);
        assert!(matches!(judged(1031), Verdict::Grown(_)));
        assert!(matches!(judged(1030), Verdict::Within(_)));
        assert!(matches!(judged(500), Verdict::Within(_)));
        let fewer = record("r", &[("delete", 1000)]);
        assert!(matches!(fewer.judge(&recorded), Verdict::Grown(_)));
    }

    #[test]
    fn another_compiler_is_not_compared() {
        let counts = [("delete", 1000)];
        let judged = record("one", &counts).judge(&record("other", &counts));
        assert!(matches!(judged, Verdict::Incomparable(_)));
    }
}
