//! The keys: made from their numbers, or read from a file, always in the same order and without keeping them.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Shortest and longest key of the mixed set, and the bounds of a fixed length, in bytes.
const SHORTEST: usize = 8;
const LONGEST: usize = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySet {
    /// Keys of one length without any order.
    Fixed(usize),
    /// Keys of all lengths from 8 to 1000 B, each as likely.
    Mixed,
    /// The lines of a file.
    Paths,
}

impl KeySet {
    pub fn all() -> Vec<KeySet> {
        let mut sets: Vec<KeySet> = [8, 16, 32, 64].map(KeySet::Fixed).into();
        sets.extend([KeySet::Mixed, KeySet::Paths]);
        sets
    }

    pub fn named(name: &str) -> Option<KeySet> {
        match name {
            "mixed" => Some(KeySet::Mixed),
            "paths" => Some(KeySet::Paths),
            _ => {
                let length = name.parse().ok()?;
                (SHORTEST..=LONGEST)
                    .contains(&length)
                    .then_some(KeySet::Fixed(length))
            }
        }
    }

    /// The name that [`KeySet::named`] knows.
    pub fn name(self) -> String {
        match self {
            KeySet::Fixed(length) => length.to_string(),
            KeySet::Mixed => "mixed".to_owned(),
            KeySet::Paths => "paths".to_owned(),
        }
    }

    /// What to call it in a table.
    pub fn title(self) -> String {
        match self {
            KeySet::Fixed(length) => format!("{length} B"),
            KeySet::Mixed => format!("{SHORTEST}–{LONGEST} B"),
            KeySet::Paths => "paths".to_owned(),
        }
    }

    /// Calls `visit` with the number and the bytes of each of the first `count` keys, which all differ. `paths` is the file
    /// that [`KeySet::Paths`] reads.
    pub fn for_each(self, count: u64, paths: Option<&Path>, mut visit: impl FnMut(u64, &[u8])) {
        let mut key = [0; LONGEST];
        match self {
            KeySet::Fixed(length) => {
                for number in 0..count {
                    make(number, &mut key[..length]);
                    visit(number, &key[..length]);
                }
            }
            KeySet::Mixed => {
                let lengths = (LONGEST - SHORTEST + 1) as u64;
                for number in 0..count {
                    let length = SHORTEST + (mix(!number) % lengths) as usize;
                    make(number, &mut key[..length]);
                    visit(number, &key[..length]);
                }
            }
            KeySet::Paths => for_each_line(paths.expect("paths have a file"), count, visit),
        }
    }

    /// Bytes of the first `count` keys together.
    pub fn bytes(self, count: u64, paths: Option<&Path>) -> u64 {
        match self {
            KeySet::Fixed(length) => length as u64 * count,
            _ => {
                let mut bytes = 0;
                self.for_each(count, paths, |_, key| bytes += key.len() as u64);
                bytes
            }
        }
    }
}

/// Fills `key`, of 8 bytes at least, from `number`: its first eight bytes are a bijection of the number, so keys differ.
fn make(number: u64, key: &mut [u8]) {
    let mut word = number;
    for part in key.chunks_mut(8) {
        word = mix(word);
        part.copy_from_slice(&word.to_le_bytes()[..part.len()]);
    }
}

/// The finaliser of SplitMix64, a bijection.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn for_each_line(file: &Path, count: u64, mut visit: impl FnMut(u64, &[u8])) {
    let mut lines = BufReader::new(File::open(file).expect("the file of paths can be opened"));
    let mut line = Vec::new();
    for number in 0..count {
        line.clear();
        let length = lines
            .read_until(b'\n', &mut line)
            .expect("the file of paths can be read");
        assert!(
            length > 1,
            "the file of paths has {number} lines, not {count}"
        );
        visit(number, line.strip_suffix(b"\n").unwrap_or(&line));
    }
}
