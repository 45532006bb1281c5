//! Commands that look at a store as a whole.

use std::io::{self, Write};
use std::path::Path;

use freyja::store::{
    self, Compaction, Finding, OpenMode, Options, Salvage, Severity, Store, VerifyReport,
};

use crate::Answer;
use crate::failure::Failure;
use crate::pairs;

/// Says what is damaged.
pub fn verify(path: &Path, output: &mut dyn Write) -> Result<Answer, Failure> {
    let mut printed = Ok(());
    let mut listener = |finding: &Finding| print(finding, output, &mut printed);
    let report = store::verify(path, &mut listener)?;
    printed?;
    summarise(&report, output)?;
    Ok(match report.damages {
        0 => Answer::Yes,
        _ => Answer::No,
    })
}

/// Saves what can be saved.
pub fn repair(
    path: &Path,
    destination: &Path,
    older_versions: bool,
    output: &mut dyn Write,
) -> Result<Answer, Failure> {
    let mut printed = Ok(());
    let mut listener = |finding: &Finding| print(finding, output, &mut printed);
    let options = Salvage { older_versions };
    let report = store::repair(path, destination, &options, &mut listener)?;
    printed?;
    summarise(&report.found, output)?;
    writeln!(
        output,
        "saved {} keys with {} bytes in {}; {} in an older version, {} left out, {} had expired",
        report.keys_saved,
        report.bytes_saved,
        destination.display(),
        report.older_versions,
        report.keys_left_out,
        report.keys_expired,
    )?;
    Ok(match report.found.losses {
        0 => Answer::Yes,
        _ => Answer::No,
    })
}

/// Gives back the space of what was deleted or overwritten.
pub fn compact(path: &Path, output: &mut dyn Write) -> Result<Answer, Failure> {
    let options = Options {
        // What the background gives back before it is counted would not be told.
        compaction: Compaction::Manual,
        ..pairs::writing(OpenMode::MustExist)
    };
    let store = Store::open(path, &options)?;
    let before = store.stats().disk_bytes;
    store.compact(|_| true)?;
    let after = store.stats().disk_bytes;
    store.close()?;
    writeln!(output, "{after} bytes instead of {before}")?;
    Ok(Answer::Yes)
}

/// Copies a store as it is at one moment.
pub fn backup(path: &Path, destination: &Path, output: &mut dyn Write) -> Result<Answer, Failure> {
    let store = Store::open(path, &pairs::writing(OpenMode::MustExist))?;
    let backup = store.backup(destination, &mut |_, _| true)?;
    store.close()?;
    writeln!(
        output,
        "{} segments up to record {}: {} bytes linked, {} bytes copied",
        backup.segments, backup.last_sequence, backup.linked_bytes, backup.copied_bytes
    )?;
    Ok(Answer::Yes)
}

/// Prints counts, a line each.
pub fn stats(path: &Path, output: &mut dyn Write) -> Result<Answer, Failure> {
    let store = Store::open(path, &reading())?;
    // Its fields, whatever they are.
    let text = format!("{:#?}", store.stats());
    for line in text.lines() {
        if let Some((name, value)) = line.trim().trim_end_matches(',').split_once(": ") {
            writeln!(output, "{name} {value}")?;
        }
    }
    Ok(Answer::Yes)
}

/// How a store is opened that is not to be changed.
pub fn reading() -> Options {
    Options {
        mode: OpenMode::ReadOnly,
        ..Options::default()
    }
}

fn print(finding: &Finding, output: &mut dyn Write, printed: &mut io::Result<()>) {
    let severity = match finding.severity {
        Severity::Note => "note",
        Severity::Damage => "damage",
        Severity::Loss => "loss",
    };
    if printed.is_ok() {
        *printed = writeln!(output, "{severity}: {finding}");
    }
}

fn summarise(report: &VerifyReport, output: &mut dyn Write) -> io::Result<()> {
    writeln!(
        output,
        "{} segments with {} bytes, {} images: {} records, {} keys intact",
        report.segments, report.bytes, report.images, report.records, report.keys,
    )?;
    if report.torn_bytes > 0 {
        writeln!(
            output,
            "{} bytes at the end were cut short by a crash",
            report.torn_bytes
        )?;
    }
    if report.damages == 0 {
        return writeln!(output, "nothing is damaged");
    }
    writeln!(
        output,
        "{} damages: {} records lost, of which {} cannot be told whose they were; {} keys lost, {} keys in doubt",
        report.damages,
        report.lost_records,
        report.unidentified_records,
        report.lost_keys,
        report.keys_in_doubt,
    )
}
