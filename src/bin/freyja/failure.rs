//! Why a command failed.

use std::fmt;
use std::io;

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// The library says so.
    Store(freyja::Error),
    /// Standard input or output failed.
    Stream(io::Error),
    /// What was to be loaded is no dump.
    Dump {
        /// Number of the line, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
}

impl From<freyja::Error> for Failure {
    fn from(error: freyja::Error) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Stream(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(formatter),
            Self::Stream(error) => write!(formatter, "standard input or output: {error}"),
            Self::Dump { line, what } => write!(formatter, "line {line} of the dump: {what}"),
        }
    }
}
