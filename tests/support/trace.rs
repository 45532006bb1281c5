//! The system calls of a program, as strace reports them.

use std::collections::HashMap;
use std::path::Path;

use crate::strace::traced;
use crate::support::programs::told;

/// A system call.
pub struct Call {
    /// What strace says of it, arguments and result, files by number and path.
    pub text: String,
    /// Places in the trace: it was under way between them.
    pub begin: usize,
    pub end: usize,
}

impl Call {
    pub fn succeeded(&self) -> bool {
        !self.text.contains(" = -1 ")
    }

    /// Whether it is one of these system calls.
    pub fn is(&self, names: &[&str]) -> bool {
        let name = self.text.split('(').next();
        name.is_some_and(|name| names.contains(&name))
    }

    /// The path of the file whose number is the first argument, as it was called then.
    pub fn file(&self) -> &str {
        let argument = self.text.split(['(', ',', ')']).nth(1).unwrap();
        argument.split_once('<').unwrap().1.trim_end_matches('>')
    }
}

/// The calls of these names that `program` makes when it is given `argument`, in the order of their ends; `None`, with a notice,
/// where that cannot be had.
pub fn calls(program: &Path, argument: &Path, names: &str) -> Option<Vec<Call>> {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("trace");
    let names = format!("trace={names}");
    let options = ["-y", "-s", "100", "-e", &names];
    let output = traced(&options, &log, program, argument)?;
    assert!(output.status.success(), "{}", told(&output));
    Some(parse(&std::fs::read_to_string(&log).unwrap()))
}

/// A line is a thread's number and a call, or the first or second part of one during which others were made.
pub fn parse(text: &str) -> Vec<Call> {
    let mut under_way = HashMap::new();
    let mut calls = Vec::new();
    for (place, line) in text.lines().enumerate() {
        let (thread, said) = line.split_once(' ').unwrap();
        let said = said.trim_start();
        if let Some(first) = said.strip_suffix(" <unfinished ...>") {
            under_way.insert(thread, (first, place));
        } else if said.starts_with("<... ") {
            let second = said.split_once(" resumed>").unwrap().1;
            let (first, begin) = under_way.remove(thread).unwrap();
            let text = format!("{first}{second}");
            calls.push(Call {
                text,
                begin,
                end: place,
            });
        } else if said.contains('(') {
            let text = said.to_owned();
            calls.push(Call {
                text,
                begin: place,
                end: place,
            });
        }
    }
    calls
}
