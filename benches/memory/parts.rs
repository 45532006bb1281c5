//! What has no keys: batches, and the regions of large buffers. Each is measured in a process of its own.

use std::process::{Command, Stdio};

use crate::{batches, regions};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Batches,
    Regions,
}

impl Part {
    const ALL: [(Part, &'static str); 2] = [(Part::Batches, "batches"), (Part::Regions, "regions")];

    pub fn named(name: &str) -> Option<Part> {
        let mut names = Self::ALL.iter();
        names
            .find(|(_, known)| *known == name)
            .map(|(part, _)| *part)
    }

    /// Measures it in this process; the answer is a section of the report.
    pub fn section(self) -> String {
        match self {
            Part::Batches => batches::section(),
            Part::Regions => regions::section(),
        }
    }
}

/// The sections of all parts.
pub fn sections() -> String {
    let sections = Part::ALL.map(|(_, name)| {
        eprintln!("{name} …");
        let program = std::env::current_exe().expect("the benchmark knows where it is");
        let mut command = Command::new(program);
        command.args(["--part", name]).stderr(Stdio::inherit());
        let output = command.output().expect("the benchmark can start itself");
        assert!(output.status.success(), "{command:?}: {}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    });
    sections.join("\n")
}
