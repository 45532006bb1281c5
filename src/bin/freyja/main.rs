//! The command line of Freyja. `freyja --help` says what it does; exit codes are 0 for done, 1 for "no" (the key is not there, the store is
//! damaged, something is lost), 2 for a command line that makes no sense, 3 for a failure, which is on standard error.

#![cfg_attr(not(test), deny(clippy::unwrap_used))]

mod arguments;
mod dump;
mod examine;
mod failure;
mod pairs;
mod text;

use std::io::{self, Write};
use std::process::ExitCode;

use arguments::Command;
use failure::Failure;

/// What the program answers besides what it prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// Done, and nothing is wrong.
    Yes,
    /// The key is not there, the store is damaged, or something is lost.
    No,
}

const NO: u8 = 1;
const USAGE: u8 = 2;
const FAILED: u8 = 3;

fn main() -> ExitCode {
    let command = match arguments::parse() {
        Ok(command) => command,
        Err(error) => {
            eprintln!("freyja: {error}; freyja --help says what there is");
            return ExitCode::from(USAGE);
        }
    };
    let mut output = io::BufWriter::new(io::stdout().lock());
    let answer = run(&command, &mut output).and_then(|answer| {
        output.flush()?;
        Ok(answer)
    });
    match answer {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(NO),
        Err(error) => {
            eprintln!("freyja: {error}");
            ExitCode::from(FAILED)
        }
    }
}

fn run(command: &Command, output: &mut dyn Write) -> Result<Answer, Failure> {
    match command {
        Command::Help => {
            output.write_all(arguments::HELP.as_bytes())?;
            Ok(Answer::Yes)
        }
        Command::Version => {
            writeln!(output, "freyja {}", env!("CARGO_PKG_VERSION"))?;
            Ok(Answer::Yes)
        }
        Command::Verify { store } => examine::verify(store, output),
        Command::Repair {
            store,
            destination,
            older_versions,
        } => examine::repair(store, destination, *older_versions, output),
        Command::Backup { store, destination } => examine::backup(store, destination, output),
        Command::Compact { store } => examine::compact(store, output),
        Command::Stats { store } => examine::stats(store, output),
        Command::Get { store, key } => pairs::get(store, key, output),
        Command::Put(put) => pairs::put(put),
        Command::Delete { store, key } => pairs::delete(store, key),
        Command::List { store, prefix } => pairs::list(store, prefix, output),
        Command::Dump { store } => dump::dump(store, output),
        Command::Load { store } => dump::load(store, &mut io::stdin().lock()),
    }
}
