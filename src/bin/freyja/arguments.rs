//! The command line.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use lexopt::Error;
use lexopt::prelude::*;

use crate::text;

/// What `--help` prints.
pub const HELP: &str = "\
Looks into a Freyja store, changes it, checks it.

usage: freyja COMMAND STORE [...] [OPTIONS]

  verify STORE               read every byte, say what is damaged
  repair STORE DESTINATION   save what can be saved in a new store; the original stays as it is
      --older-versions         of keys whose newest version is damaged, save the newest intact one
  backup STORE DESTINATION   copy the store, or bring what is new to an earlier backup of it
  compact STORE              give back the space of what was deleted or overwritten
  get STORE KEY              print the value, as it is
  put STORE KEY VALUE        store a value; VALUE - reads it from standard input
      --create                 make the store if there is none
      --expires-at MS          milliseconds since 1970 at which the pair ceases to exist
  delete STORE KEY           delete a key
  list STORE                 print all keys, a line each
      --prefix PREFIX          only those that begin with it
  stats STORE                print counts
  dump STORE                 print all pairs as text
  load STORE                 put the pairs of a dump from standard input, make the store if there is none

  -e, --escaped              KEY, VALUE and PREFIX are written as list and dump print them: \\xHH is the byte HH, \\\\ a backslash
  -h, --help                 print this
  -V, --version              print the version

Exit codes: 0 done; 1 the key is not there, the store is damaged, or something is lost; 2 wrong usage; 3 failed, standard
error says why. STORE must not be open for writing elsewhere. docs/tool.md describes the format of a dump.
";

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Print how the program is used.
    Help,
    /// Print the version.
    Version,
    /// Say what is damaged.
    Verify {
        /// The store.
        store: PathBuf,
    },
    /// Save what can be saved.
    Repair {
        /// The store.
        store: PathBuf,
        /// Where the new store is made.
        destination: PathBuf,
        /// Whether older versions are better than none.
        older_versions: bool,
    },
    /// Copy the store.
    Backup {
        /// The store.
        store: PathBuf,
        /// Where the copy is, or will be.
        destination: PathBuf,
    },
    /// Give back space.
    Compact {
        /// The store.
        store: PathBuf,
    },
    /// Print a value.
    Get {
        /// The store.
        store: PathBuf,
        /// The key.
        key: Vec<u8>,
    },
    /// Store a value.
    Put(Put),
    /// Delete a key.
    Delete {
        /// The store.
        store: PathBuf,
        /// The key.
        key: Vec<u8>,
    },
    /// Print keys.
    List {
        /// The store.
        store: PathBuf,
        /// What they begin with.
        prefix: Vec<u8>,
    },
    /// Print counts.
    Stats {
        /// The store.
        store: PathBuf,
    },
    /// Print all pairs.
    Dump {
        /// The store.
        store: PathBuf,
    },
    /// Put the pairs of a dump.
    Load {
        /// The store.
        store: PathBuf,
    },
}

/// A value to be stored.
#[derive(Debug, PartialEq, Eq)]
pub struct Put {
    /// The store.
    pub store: PathBuf,
    /// The key.
    pub key: Vec<u8>,
    /// The value; from standard input if absent.
    pub value: Option<Vec<u8>>,
    /// When the pair ceases to exist, in milliseconds since 1970; 0 for never.
    pub expires_at_ms: u64,
    /// Whether the store may be made.
    pub create: bool,
}

/// Options, of which each command takes its own.
#[derive(Default)]
struct Options {
    older_versions: Option<bool>,
    create: Option<bool>,
    expires_at_ms: Option<u64>,
    prefix: Option<OsString>,
    escaped: bool,
}

/// The command that the process was started with.
pub fn parse() -> Result<Command, Error> {
    parse_from(lexopt::Parser::from_env())
}

fn parse_from(mut parser: lexopt::Parser) -> Result<Command, Error> {
    let mut options = Options::default();
    let mut values = Vec::new();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('V') | Long("version") => return Ok(Command::Version),
            Short('e') | Long("escaped") => options.escaped = true,
            Long("older-versions") => options.older_versions = Some(true),
            Long("create") => options.create = Some(true),
            Long("expires-at") => options.expires_at_ms = Some(parser.value()?.parse()?),
            Long("prefix") => options.prefix = Some(parser.value()?),
            Value(value) => values.push(value),
            _ => return Err(argument.unexpected()),
        }
    }
    let mut values = values.into_iter();
    let name = values.next().ok_or("a command is missing")?;
    let name = name.to_str().ok_or("the command is not text")?;
    let mut next = |what: &str| {
        let value = values.next();
        value.ok_or_else(|| Error::Custom(format!("{what} is missing").into()))
    };
    let store = |value: OsString| PathBuf::from(value);
    let command = match name {
        "verify" => Command::Verify {
            store: store(next("STORE")?),
        },
        "repair" => Command::Repair {
            store: store(next("STORE")?),
            destination: store(next("DESTINATION")?),
            older_versions: options.older_versions.take().unwrap_or(false),
        },
        "backup" => Command::Backup {
            store: store(next("STORE")?),
            destination: store(next("DESTINATION")?),
        },
        "compact" => Command::Compact {
            store: store(next("STORE")?),
        },
        "get" => Command::Get {
            store: store(next("STORE")?),
            key: bytes(&next("KEY")?, &options)?,
        },
        "put" => Command::Put(Put {
            store: store(next("STORE")?),
            key: bytes(&next("KEY")?, &options)?,
            value: match next("VALUE")? {
                value if value == "-" => None,
                value => Some(bytes(&value, &options)?),
            },
            expires_at_ms: options.expires_at_ms.take().unwrap_or(0),
            create: options.create.take().unwrap_or(false),
        }),
        "delete" => Command::Delete {
            store: store(next("STORE")?),
            key: bytes(&next("KEY")?, &options)?,
        },
        "list" => Command::List {
            store: store(next("STORE")?),
            prefix: bytes(&options.prefix.take().unwrap_or_default(), &options)?,
        },
        "stats" => Command::Stats {
            store: store(next("STORE")?),
        },
        "dump" => Command::Dump {
            store: store(next("STORE")?),
        },
        "load" => Command::Load {
            store: store(next("STORE")?),
        },
        _ => return Err(Error::Custom(format!("there is no command {name}").into())),
    };
    if let Some(value) = values.next() {
        return Err(Error::UnexpectedArgument(value));
    }
    let left = options.older_versions.map(|_| "--older-versions");
    let left = left.or(options.create.map(|_| "--create"));
    let left = left.or(options.expires_at_ms.map(|_| "--expires-at"));
    match left.or(options.prefix.map(|_| "--prefix")) {
        Some(option) => Err(Error::Custom(
            format!("{option} does not go with {name}").into(),
        )),
        None => Ok(command),
    }
}

/// The bytes that an argument stands for.
fn bytes(argument: &OsStr, options: &Options) -> Result<Vec<u8>, Error> {
    let bytes = argument.as_encoded_bytes();
    if !options.escaped {
        return Ok(bytes.to_vec());
    }
    text::unescaped(bytes).map_err(|error| Error::Custom(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Command, Error> {
        parse_from(lexopt::Parser::from_args(arguments))
    }

    #[test]
    fn arguments_are_bytes_unless_they_are_said_to_be_escaped() {
        let key = |arguments: &[&str]| match parsed(arguments).unwrap() {
            Command::Get { key, .. } => key,
            other => panic!("{other:?}"),
        };
        assert_eq!(key(&["get", "store", r"a\x00"]), br"a\x00");
        assert_eq!(key(&["get", "-e", "store", r"a\x00"]), b"a\x00");
        assert_eq!(key(&["get", "store", "--", "-e"]), b"-e");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for arguments in [
            &[][..],
            &["frobnicate", "store"],
            &["get", "store"],
            &["get", "store", "key", "more"],
            &["get", "store", "key", "--create"],
            &["verify", "store", "--prefix", "a"],
            &["get", "-e", "store", r"\x0"],
            &["put", "store", "key", "value", "--expires-at", "soon"],
            &["verify", "store", "--what"],
        ] {
            assert!(parsed(arguments).is_err(), "{arguments:?}");
        }
    }
}
