//! File names of images: `index-`, sixteen lower-case hexadecimal digits of the generation, `.img`; `.new` until the
//! file is complete. And of lists of moves: the same with the id of the output and `.moves`.

use std::ffi::OsStr;
use std::path::Path;

use crate::error::{Error, Result};
use crate::vfs::Vfs;

const PREFIX: &str = "index-";
const SUFFIX: &str = ".img";
const NEW_SUFFIX: &str = ".new";
const MOVES_SUFFIX: &str = ".moves";

/// The images in a store's directory.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Generations of complete files, ascending.
    pub complete: Vec<u64>,
    /// Generations of files whose writing was cut short.
    pub unfinished: Vec<u64>,
    /// Generations of complete files that are of no use.
    pub rejected: Vec<u64>,
    /// Ids of the outputs of which there are lists of moves, ascending.
    pub moves: Vec<u64>,
    highest: u64,
}

impl Names {
    /// Takes note of a directory entry called `name`, if it is an image.
    pub fn add(&mut self, name: &OsStr) {
        if let Some(generation) = parse(name, SUFFIX) {
            self.complete.push(generation);
            self.complete.sort_unstable();
        } else if let Some(generation) = parse(name, NEW_SUFFIX) {
            self.unfinished.push(generation);
        } else if let Some(output) = parse(name, MOVES_SUFFIX) {
            self.moves.push(output);
            self.moves.sort_unstable();
        }
    }

    /// Gives up the generations above `used`, or all.
    pub fn reject_above(&mut self, used: Option<u64>) {
        let kept = |generation: &u64| used.is_some_and(|used| *generation <= used);
        let (complete, rejected) = self.complete.iter().partition(|it| kept(it));
        self.complete = complete;
        self.rejected = rejected;
    }

    /// Removes the files that were given up.
    pub fn remove_rejected(&mut self, vfs: &dyn Vfs, directory: &Path) -> Result<()> {
        if self.rejected.is_empty() {
            return Ok(());
        }
        for generation in &self.rejected {
            let path = directory.join(file_name(*generation));
            vfs.remove(&path)
                .map_err(|error| Error::io("remove", &path, &error))?;
        }
        self.highest = self.next() - 1;
        self.rejected.clear();
        vfs.sync_directory(directory)
            .map_err(|error| Error::io("sync directory", directory, &error))
    }

    /// A generation above all that are there.
    pub fn next(&self) -> u64 {
        let all = self.complete.iter().chain(&self.unfinished);
        let highest = all.chain(&self.rejected).max().copied().unwrap_or(0);
        highest.max(self.highest).saturating_add(1)
    }
}

/// The name of the image of `generation`.
pub fn file_name(generation: u64) -> String {
    format!("{PREFIX}{generation:016x}{SUFFIX}")
}

/// The name under which it is written.
pub fn new_file_name(generation: u64) -> String {
    format!("{PREFIX}{generation:016x}{NEW_SUFFIX}")
}

/// The name of the list of what was moved into the segment `output`.
pub fn moves_file_name(output: u64) -> String {
    format!("{PREFIX}{output:016x}{MOVES_SUFFIX}")
}

fn parse(name: &OsStr, suffix: &str) -> Option<u64> {
    let digits = name.to_str()?.strip_prefix(PREFIX)?.strip_suffix(suffix)?;
    let lower_hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if digits.len() != 16 || !digits.bytes().all(lower_hexadecimal) {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_generation_reads_back_from_its_name_and_other_names_are_left_alone() {
        let mut names = Names::default();
        assert_eq!(names.next(), 1);
        for name in [
            "LOCK",
            "0000000000000001.seg",
            "0000000000000009.new",
            "index-000000000000000A.img",
            "index-1.img",
            "index-0000000000000009.img.bak",
        ] {
            names.add(OsStr::new(name));
        }
        assert_eq!((names.complete.len(), names.unfinished.len()), (0, 0));
        for generation in [7, 3, u64::MAX - 1] {
            names.add(OsStr::new(&file_name(generation)));
        }
        names.add(OsStr::new(&new_file_name(9)));
        for output in [12, 11] {
            names.add(OsStr::new(&moves_file_name(output)));
        }
        assert_eq!(
            (names.moves.as_slice(), names.complete.len()),
            (&[11, 12][..], 3)
        );
        assert_eq!(names.complete, [3, 7, u64::MAX - 1]);
        assert_eq!((names.unfinished.len(), names.next()), (1, u64::MAX));
    }
}
