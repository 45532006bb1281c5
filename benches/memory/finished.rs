//! What an interrupted run had finished, so that the next one goes on from there.

use std::cell::Cell;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::transcript::Transcript;

/// Transcripts in files, of this very program: another build measures something else and finds none.
pub struct Finished {
    directory: PathBuf,
    /// Held for as long as this lives: no two runs use the same directory.
    _lock: File,
    found: Cell<usize>,
}

impl Finished {
    /// What earlier runs left in `directory`, which must exist. `None` if another run is at work in it.
    pub fn open(directory: &Path) -> io::Result<Option<Finished>> {
        let lock = File::create(directory.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let program = crc32fast::hash(&fs::read(std::env::current_exe()?)?);
        let own = format!("finished-{program:08x}");
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if entry.file_type()?.is_dir() && *name != *own {
                // Of another build, or the stores of a run that was interrupted.
                fs::remove_dir_all(entry.path())?;
            }
        }
        let directory = directory.join(own);
        fs::create_dir_all(&directory)?;
        Ok(Some(Finished {
            directory,
            _lock: lock,
            found: Cell::new(0),
        }))
    }

    /// What was kept under `name`.
    pub fn find(&self, name: &str) -> Option<Transcript> {
        let text = fs::read_to_string(self.directory.join(name)).ok()?;
        let transcript = Transcript::parse(&text)?;
        self.found.set(self.found.get() + 1);
        Some(transcript)
    }

    /// Keeps a transcript under `name`, a file's name.
    pub fn keep(&self, name: &str, transcript: &Transcript) -> io::Result<()> {
        let file = self.directory.join(name);
        let part = self.directory.join("part");
        fs::write(&part, transcript.to_string())?;
        fs::rename(part, file)
    }

    /// How many were found.
    pub fn found(&self) -> usize {
        self.found.get()
    }

    /// Forgets everything: the run has come to its end.
    pub fn forget(self) -> io::Result<()> {
        fs::remove_dir_all(&self.directory)
    }
}
