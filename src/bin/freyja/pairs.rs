//! Commands about single keys.

use std::io::{self, Read, Write};
use std::path::Path;

use freyja::ErrorKind;
use freyja::log::record::MAX_VALUE_LEN;
use freyja::store::{self, IterOptions, OpenMode, Options, Pair, Salvage, Store};

use crate::Answer;
use crate::arguments::Put;
use crate::examine::reading;
use crate::failure::Failure;
use crate::text;

/// Prints a value.
pub fn get(path: &Path, key: &[u8], output: &mut dyn Write) -> Result<Answer, Failure> {
    let store = Store::open(path, &reading())?;
    let Some(value) = store.get(key)? else {
        return Ok(Answer::No);
    };
    output.write_all(&value)?;
    Ok(Answer::Yes)
}

/// Stores a value.
pub fn put(put: &Put) -> Result<Answer, Failure> {
    let mut read = Vec::new();
    let value = match &put.value {
        Some(value) => value,
        None => {
            // One byte too many is refused by the store.
            let limit = MAX_VALUE_LEN as u64 + 1;
            io::stdin().lock().take(limit).read_to_end(&mut read)?;
            &read
        }
    };
    let mode = match put.create {
        true => OpenMode::CreateIfMissing,
        false => OpenMode::MustExist,
    };
    let store = Store::open(&put.store, &writing(mode))?;
    store.put_expiring(&put.key, value, put.expires_at_ms)?;
    store.close()?;
    Ok(Answer::Yes)
}

/// Deletes a key.
pub fn delete(path: &Path, key: &[u8]) -> Result<Answer, Failure> {
    let store = Store::open(path, &writing(OpenMode::MustExist))?;
    let was_there = store.delete(key)?;
    store.close()?;
    Ok(match was_there {
        true => Answer::Yes,
        false => Answer::No,
    })
}

/// Prints keys.
pub fn list(path: &Path, prefix: &[u8], output: &mut dyn Write) -> Result<Answer, Failure> {
    let store = Store::open(path, &reading())?;
    let mut keys = store.iter(IterOptions {
        prefix: prefix.to_vec(),
        keys_only: true,
        ..IterOptions::default()
    })?;
    let mut answer = Answer::Yes;
    loop {
        let step = keys.next_with(|key, _| {
            text::write_escaped(output, key)?;
            output.write_all(b"\n")
        });
        match step {
            Ok(Some(printed)) => printed?,
            Ok(None) => return Ok(answer),
            // The next step goes on behind it.
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                eprintln!("freyja: {error}");
                answer = Answer::No;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Calls `visit` with all pairs that are there. Complains of those that are lost.
pub fn for_each(
    path: &Path,
    visit: &mut dyn FnMut(Pair<'_>) -> io::Result<()>,
) -> Result<Answer, Failure> {
    let now_ms = freyja::vfs::Vfs::wall_clock_ms(&freyja::vfs::RealVfs);
    let mut failed = None;
    let mut losses = 0_u64;
    let outcome = store::salvage(
        path,
        &Salvage::default(),
        &mut |finding| {
            if finding.severity == store::Severity::Loss {
                losses += 1;
                eprintln!("freyja: {finding}");
            }
        },
        &mut |pair| {
            if pair.expires_at_ms.is_some_and(|moment| moment <= now_ms) {
                return Ok(());
            }
            visit(pair).map_err(|error| {
                let stop = freyja::Error::new(ErrorKind::Io, error.to_string());
                failed = Some(error);
                stop
            })
        },
    );
    match (failed, outcome) {
        (Some(error), _) => Err(error.into()),
        (None, Err(error)) => Err(error.into()),
        (None, Ok(_)) if losses > 0 => Ok(Answer::No),
        (None, Ok(_)) => Ok(Answer::Yes),
    }
}

/// How a store is opened that is to be changed.
pub fn writing(mode: OpenMode) -> Options {
    Options {
        mode,
        ..Options::default()
    }
}
