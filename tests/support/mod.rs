//! What the tests of the C interface share.
#![allow(dead_code)] // each test program uses its part

pub mod library;
pub mod programs;

use std::path::Path;
use std::process::Command;

/// The folder of the project.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A language of callers.
#[derive(Clone, Copy)]
pub enum Language {
    /// C.
    C,
    /// C++.
    Cpp,
}

impl Language {
    /// `name` with the ending of source files.
    pub fn file_name(self, name: &str) -> String {
        match self {
            Self::C => format!("{name}.c"),
            Self::Cpp => format!("{name}.cpp"),
        }
    }
}

/// The system's compiler, or the one that CC or CXX names, told where the header is.
pub fn compiler(language: Language) -> Command {
    let mut command = cc::Build::new()
        .cpp(matches!(language, Language::Cpp))
        .opt_level(1)
        .debug(true)
        .target(env!("FREYJA_TARGET"))
        .host(env!("FREYJA_TARGET"))
        .cargo_metadata(false)
        .get_compiler()
        .to_command();
    command.arg("-I").arg(root().join("include"));
    command
}
