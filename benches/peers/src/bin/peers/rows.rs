//! The rows of the report.

use crate::durable;
use crate::parts::Size;
use crate::workload::Work;

/// What is reported, how its numbers are divided, and whether more is better.
#[derive(Clone)]
pub struct Row {
    /// The name under which it was measured.
    pub what: String,
    /// Its name in the report.
    pub title: String,
    /// What its numbers are divided by.
    pub unit: f64,
    /// Whether more of it is better.
    pub more_is_better: bool,
}

impl Row {
    /// Thousands of `work` a second.
    pub fn rate(work: &str) -> Self {
        Self {
            what: format!("{work}, a second"),
            title: work.to_owned(),
            unit: 1e3,
            more_is_better: true,
        }
    }

    fn less(what: &str, title: &str, unit: f64) -> Self {
        Self {
            what: what.to_owned(),
            title: title.to_owned(),
            unit,
            more_is_better: false,
        }
    }
}

/// All tables that have a column for each store, with their titles.
pub fn tables(size: Size) -> [(&'static str, Vec<Row>); 3] {
    let work = Work::ALL.iter().map(|(_, name)| *name);
    let rates = work
        .chain(["scan", "get hit, 64 together", "fill, 100 together"])
        .chain(durable::THREADS.map(|(_, name)| name))
        .map(Row::rate);
    let latencies = Work::ALL[..5].iter().flat_map(|(_, name)| {
        ["p50", "p99", "p99.9"].map(|quantile| {
            let what = format!("{name}, {quantile}");
            Row::less(&what, &format!("{name} {quantile}"), 1e3)
        })
    });
    let raw = size.raw_bytes() as f64;
    let mib = f64::from(1 << 20);
    let mut others = vec![
        Row::less("memory, anonymous", "RAM, anonymous, MiB", mib),
        Row::less("memory, of files", "RAM, of files, MiB", mib),
        Row::less("memory, all", "RAM, both, MiB", mib),
        Row::less("disk", "disk, of the raw bytes", raw),
        Row::less("written by fill", "written by fill, of the raw bytes", raw),
        Row::less(
            "written by overwrite",
            "written by overwrite, of the raw bytes",
            raw,
        ),
    ];
    for state in ["clean", "cold", "after a kill"] {
        let what = format!("reopen {state}, opened");
        others.push(Row::less(&what, &format!("reopen {state}, ms"), 1.0));
    }
    others.push(Row::less(
        "reopen after a kill, lost",
        "lost by a kill, pairs",
        1.0,
    ));
    [
        ("Thousands of operations a second", rates.collect()),
        ("Latency, microseconds", latencies.collect()),
        ("Space, and time to the first answer", others),
    ]
}

/// The rows of what the README shows.
pub fn summary() -> Vec<Row> {
    let names = ["fill", "get hit", "get zipf", "get miss", "overwrite"];
    let names = names.into_iter().chain(["YCSB A", "scan"]);
    names
        .chain(durable::THREADS.map(|(_, name)| name))
        .map(Row::rate)
        .collect()
}

/// Calls that most other stores have not, each with the usual one that does the same.
pub fn other_calls() -> Vec<(Row, Row)> {
    let names = [
        ("get hit, owned", "get hit"),
        ("get hit, pinned", "get hit"),
        ("get hit, key checked", "get hit"),
        ("get hit, pinned, key checked", "get hit"),
        ("get hit, 64 together", "get hit"),
        ("scan, unchecked", "scan"),
        ("scan, one by one", "scan"),
        ("fill, not told how many", "fill"),
        ("fill, 100 together", "fill"),
        ("fill, 100 packed", "fill"),
    ];
    let rows = names.map(|(name, usual)| (Row::rate(name), Row::rate(usual)));
    rows.to_vec()
}
