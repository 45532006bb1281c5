//! What was found, as text that reads well in a terminal and as Markdown.

use std::fmt::Write;
use std::fs;

use freyja_peers::engine::Kind;
use freyja_peers::machine;
use freyja_peers::pairs::KEY_LEN;
use freyja_peers::table::Table;

use crate::arguments::Arguments;
use crate::outcome::{ALL, AT_REST, AT_WORK, Latency, Outcome, Phase};
use crate::run::Measured;

/// The whole report.
pub fn text(all: &[Measured], arguments: &Arguments, commit: &str) -> String {
    let mut text = String::from("# Compaction\n\n");
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let _ = writeln!(
        text,
        "{}, {}, load {}; files on {}. Measured: {commit}.\n\n\
         `make bench-compaction BENCH_ARGUMENTS=\"{}\"`: {} pairs of {KEY_LEN} B keys and {} B values, nothing synced. One thread overwrites them, {} \
         times as many puts as pairs, {} MiB a second if the store keeps up; another gets {} a millisecond, keys drawn in the same way. Each store in a \
         process of its own. Every value read is compared, and all of them at the end. Idle is the same on a store just loaded, without compaction.\n",
        machine::date(),
        machine::description(),
        load.split(' ').nth(1).unwrap_or("unknown"),
        machine::file_system(&arguments.directory),
        arguments.words().join(" "),
        arguments.pairs(),
        arguments.value_len,
        arguments.times,
        arguments.put_bytes_per_second >> 20,
        arguments.gets_per_millisecond,
    );
    for measured in all {
        let name = measured.keys.name();
        let _ = writeln!(
            text,
            "## {name} keys\n\n![{name}]({name}.svg)\n\n{}",
            space(measured, arguments)
        );
        for kind in ["get", "put"] {
            let _ = writeln!(text, "{}", latencies(measured, kind));
        }
        let _ = writeln!(text, "{}", slowest(measured));
    }
    text += EXPLANATION;
    for kind in &arguments.kinds {
        let _ = writeln!(text, "{}", options(kind, all, arguments));
    }
    text
}

const EXPLANATION: &str = "\
Space: blocks of all files over the bytes of keys and values, looked at ten times a second. Live bytes, which only Freyja tells, are those of records with \
their heads and padding. Written: what the process gave the system to write, over the bytes of keys and values put; own count: what the store says it wrote, over \
the records put. A slot of 10 ms counts as at work if the store's own threads took more than 0.2 ms of a processor in it, or waited for the disk. A stall is an \
operation of more than 1 ms; own stalls are those that were so without the time for which their thread was ready to run and had no processor.\n\n";

fn options(kind: &Kind, all: &[Measured], arguments: &Arguments) -> String {
    let outcomes = all.iter().flat_map(|measured| &measured.outcomes);
    let mut of_kind = outcomes.filter(|(other, _)| other.name == kind.name);
    let Some((_, outcome)) = of_kind.next() else {
        return String::new();
    };
    if let Some(why) = &outcome.absent {
        return format!("- {}: left out: {why}", kind.name);
    }
    let buffer = match kind.name {
        "Freyja" => String::new(),
        _ => format!(
            "; here with write buffers of {} MiB",
            arguments.write_buffer() >> 20
        ),
    };
    format!(
        "- {} {}: {}{buffer}",
        kind.name, outcome.version, kind.options
    )
}

fn present(measured: &Measured) -> impl Iterator<Item = (&Kind, &Outcome)> {
    let all = measured.outcomes.iter();
    all.filter(|(_, outcome)| outcome.absent.is_none())
        .map(|(kind, outcome)| (kind, outcome))
}

fn space(measured: &Measured, arguments: &Arguments) -> Table {
    let mut table = Table::new(
        1,
        &[
            "",
            "space, mean",
            "most",
            "at the end",
            "mean, of live bytes",
            "most",
            "written",
            "own count",
            "seconds",
            "at work",
        ],
    );
    let raw = (arguments.pairs() * arguments.pair_len()) as f64;
    for (kind, outcome) in present(measured) {
        let moments = &outcome.moments;
        let of_raw: Vec<f64> = moments.iter().map(|it| it.disk_bytes / raw).collect();
        let told = moments.iter().filter(|it| it.counters.live_bytes > 0);
        let of_live: Vec<f64> = told
            .map(|it| it.disk_bytes / it.counters.live_bytes as f64)
            .collect();
        let last = moments.last().copied().unwrap_or_default();
        let written = last.written / (last.times * raw);
        let counters = last.counters;
        let own = (counters.written_bytes + counters.compaction_bytes) as f64
            / counters.written_bytes as f64;
        let ratio = |ratio: f64| match ratio.is_finite() {
            true => format!("{ratio:.2}"),
            false => String::new(),
        };
        let mean = |ratios: &[f64]| ratio(ratios.iter().sum::<f64>() / ratios.len() as f64);
        let most = |ratios: &[f64]| ratio(ratios.iter().copied().fold(f64::NAN, f64::max));
        table.add(vec![
            kind.name.to_owned(),
            mean(&of_raw),
            most(&of_raw),
            ratio(last.disk_bytes / raw),
            mean(&of_live),
            most(&of_live),
            ratio(written),
            ratio(own),
            format!("{:.1}", last.seconds),
            format!("{:.0} %", outcome.at_work(Phase::Overwrite) * 100.0),
        ]);
    }
    table
}

fn latencies(measured: &Measured, kind: &str) -> Table {
    let title = format!("{kind}s, µs");
    let mut table = Table::new(
        1,
        &[
            &title,
            "count",
            "p50",
            "p99",
            "p99.9",
            "longest",
            "stalls",
            "own stalls",
            "p99 of idle",
        ],
    );
    let groups = [
        ("idle", Phase::Idle, ALL),
        ("overwriting", Phase::Overwrite, ALL),
        ("threads at work", Phase::Overwrite, AT_WORK),
        ("threads at rest", Phase::Overwrite, AT_REST),
    ];
    for (engine, outcome) in present(measured) {
        let idle = outcome.latency(Phase::Idle, kind, ALL);
        for (name, phase, group) in groups {
            let latency: Latency = outcome.latency(phase, kind, group);
            let microseconds = |nanoseconds: u64| format!("{:.1}", nanoseconds as f64 / 1e3);
            table.add(vec![
                format!("{}, {name}", engine.name),
                latency.count.to_string(),
                microseconds(latency.half),
                microseconds(latency.of_100),
                microseconds(latency.of_1000),
                microseconds(latency.longest),
                latency.stalls.to_string(),
                latency.own_stalls.to_string(),
                format!("{:.2}", latency.of_100 as f64 / idle.of_100.max(1) as f64),
            ]);
        }
    }
    table
}

/// Where Freyja took longest.
fn slowest(measured: &Measured) -> Table {
    let mut table = Table::new(
        2,
        &[
            "Freyja's slowest",
            "its threads were",
            "ms",
            "without a processor, ms",
        ],
    );
    let freyja = present(measured).filter(|(kind, _)| kind.name == "Freyja");
    for slow in freyja.flat_map(|(_, outcome)| &outcome.slow) {
        table.add(vec![
            slow.what.clone(),
            slow.met.clone(),
            format!("{:.2}", slow.microseconds / 1e3),
            format!("{:.2}", slow.waited / 1e3),
        ]);
    }
    table
}
