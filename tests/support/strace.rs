//! Runs programs under strace.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::programs::told;

/// Runs `program`, which is given `argument`, under strace with these options; strace writes to `log`. `None`, with a notice, where
/// strace may not trace or is not there.
pub fn traced(options: &[&str], log: &Path, program: &Path, argument: &Path) -> Option<Output> {
    let output = Command::new("strace")
        .args(["-f", "-qq", "-o"])
        .arg(log)
        .args(options)
        .arg(program)
        .arg(argument)
        .output();
    let Ok(output) = output else {
        println!("skipped: strace is not installed");
        return None;
    };
    if std::fs::read_to_string(log).unwrap_or_default().is_empty() {
        println!("skipped: strace may not trace here: {}", told(&output));
        return None;
    }
    Some(output)
}
