//! The metrics are text that Prometheus reads, and the dashboard and the alerts ask for metrics that there are.
#![allow(clippy::disallowed_methods)] // reads the source tree, not a store

use std::collections::{BTreeMap, BTreeSet};

use freyja::store::{Options, Store, SyncMode};

fn metrics() -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a \"store\" \\ of\nours");
    let options = Options {
        memory_budget: 4 << 20,
        sync_mode: SyncMode::None,
        ..Options::default()
    };
    let store = Store::open(&path, &options).unwrap();
    for number in 0..100_u64 {
        store.put(&number.to_le_bytes(), b"value").unwrap();
    }
    // So that the process has a pool.
    let pool = freyja::memory::buffer_pool::process_pool().unwrap();
    pool.trim();
    store.metrics(3).unwrap()
}

/// The metrics of a text, each with its type.
fn types(text: &str) -> BTreeMap<&str, &str> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    lines.map(|line| line.split_once(' ').unwrap()).collect()
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Name, labels and value of a sample, as Prometheus reads it.
fn parse(line: &str) -> (&str, Vec<(&str, String)>, f64) {
    let end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, text) = rest.split_once("=\"").unwrap();
            let mut value = String::new();
            let mut characters = text.char_indices();
            let behind = loop {
                match characters.next().unwrap() {
                    (_, '\\') => match characters.next().unwrap().1 {
                        'n' => value.push('\n'),
                        escaped @ ('\\' | '"') => value.push(escaped),
                        other => panic!("\\{other} in {line}"),
                    },
                    (at, '"') => break at + 1,
                    (_, other) => value.push(other),
                }
            };
            labels.push((label, value));
            rest = &text[behind..];
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').unwrap();
    }
    let value = rest.strip_prefix(' ').unwrap();
    (name, labels, value.parse().unwrap())
}

#[test]
fn every_line_is_a_sample_of_a_metric_that_was_described_before() {
    let text = metrics();
    assert!(text.ends_with('\n'));
    let mut described: Option<(&str, &str)> = None;
    let mut seen = BTreeSet::new();
    let mut names = BTreeSet::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            assert!(
                is_name(name) && help.ends_with('.') && names.insert(name),
                "{line}"
            );
            described = Some((name, ""));
        } else if let Some(of_type) = line.strip_prefix("# TYPE ") {
            let (name, kind) = of_type.split_once(' ').unwrap();
            assert_eq!(described, Some((name, "")), "{line}");
            assert!(["counter", "gauge"].contains(&kind), "{line}");
            described = Some((name, kind));
        } else {
            let (name, labels, value) = parse(line);
            let (expected, kind) = described.unwrap();
            assert_eq!(name, expected);
            // Conventions of Prometheus: counters end with total, and only they do; units are base units.
            assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
            assert!(
                !["_ms", "_microseconds", "_kb", "_mb", "_percent"]
                    .iter()
                    .any(|it| name.ends_with(it))
            );
            assert!(kind == "gauge" || value >= 0.0, "{line}");
            assert!(
                seen.insert((name.to_owned(), format!("{labels:?}"))),
                "twice: {line}"
            );
            for (label, value) in labels {
                assert!(is_name(label));
                assert!(label != "store" || value.ends_with("a \"store\" \\ of\nours"));
            }
        }
    }
}

#[test]
fn figures_of_the_store_of_its_budget_and_of_the_pool_are_there() {
    let text = metrics();
    let value = |name: &str| {
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        let line = lines.find(|line| parse(line).0 == name);
        parse(line.unwrap_or_else(|| panic!("no {name}"))).2
    };
    assert_eq!(value("freyja_keys"), 100.0);
    assert_eq!(value("freyja_puts_total"), 100.0);
    assert_eq!(value("freyja_pins"), 3.0);
    assert_eq!(value("freyja_memory_budget_bytes"), f64::from(4 << 20));
    assert!(value("freyja_memory_used_bytes") > 100_000.0);
    assert_eq!(value("freyja_memory_pressure_level"), 0.0);
    assert_eq!(value("freyja_memory_critical_seconds"), f64::INFINITY);
    assert!(value("freyja_recovery_seconds") < 10.0);
    assert!(value("freyja_pool_idle_limit_bytes") > 0.0);
}

fn names_in(path: &str) -> BTreeSet<String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = std::fs::read_to_string(&path).unwrap();
    let words = text.split(|byte: char| !byte.is_ascii_alphanumeric() && byte != '_');
    words
        .filter(|word| word.starts_with("freyja_"))
        .map(Into::into)
        .collect()
}

#[test]
fn dashboard_and_alerts_ask_only_for_metrics_that_there_are() {
    let text = metrics();
    let there = types(&text);
    for path in [
        "docs/monitoring/dashboard.json",
        "docs/monitoring/alerts.yaml",
    ] {
        let names = names_in(path);
        assert!(names.len() >= 5, "{path}: {names:?}");
        for name in names {
            assert!(there.contains_key(name.as_str()), "{path}: {name}");
        }
    }
}

#[test]
fn the_document_lists_every_metric_and_no_other() {
    let text = metrics();
    let there: BTreeSet<String> = types(&text).keys().map(|name| (*name).into()).collect();
    let mut listed = names_in("docs/monitoring.md");
    // Functions of the interface.
    assert!(listed.remove("freyja_metrics"));
    assert_eq!(listed, there);
}
