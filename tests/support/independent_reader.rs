//! The reader in Python that shares no code with Freyja: what it finds in copies of stores.
#![allow(dead_code)] // each test program uses its part

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use freyja::vfs::{SimulatedDisk, Vfs};

/// What the reader found in one store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Live keys and their values.
    pub live: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Keys whose newest record is damaged.
    pub lost: BTreeSet<Vec<u8>>,
    /// Keys whose newest record is a put that has expired.
    pub expired: BTreeSet<Vec<u8>>,
    /// Damaged spans: file name, offset, length.
    pub damage: Vec<(String, u64, u64)>,
    /// Segments that should be there.
    pub missing: u64,
    /// Sequence number of the last record that counts.
    pub last_sequence: u64,
}

/// Copies the store in `directory` of a simulated disk to a real one.
pub fn copy_store(disk: &SimulatedDisk, directory: &Path, target: &Path) {
    std::fs::create_dir_all(target).unwrap();
    for entry in disk.list(directory).unwrap_or_default() {
        let bytes = disk.read_file(&directory.join(&entry.name)).unwrap();
        std::fs::write(target.join(&entry.name), bytes).unwrap();
    }
}

/// Reads all the stores in `directories` in one go, each at this moment of its clock; `None`, with a notice, where there is no
/// Python 3.
pub fn read_stores(directories: &[(PathBuf, u64)]) -> Option<Vec<Reading>> {
    let program =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/independent_reader/freyja_reader.py");
    let child = Command::new("python3")
        .arg(program)
        .arg("--batch")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        println!("skipped: python3, which the independent reader needs, is not installed");
        return None;
    };
    let mut list = String::new();
    for (directory, now) in directories {
        list += &format!("{}\t{now}\n", directory.to_str().unwrap());
    }
    let mut input = child.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || input.write_all(list.as_bytes()));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap().unwrap();
    assert!(output.status.success(), "the independent reader failed");
    let readings = parse(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(readings.len(), directories.len());
    Some(readings)
}

fn parse(text: &str) -> Vec<Reading> {
    let mut readings: Vec<Reading> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if words[0] == "store" {
            readings.push(Reading::default());
            continue;
        }
        let reading = readings.last_mut().unwrap();
        match words[..] {
            ["live", key, value] => {
                reading.live.insert(bytes(key), bytes(value));
            }
            ["expired", key, _] => {
                reading.expired.insert(bytes(key));
            }
            ["lost", key] => {
                reading.lost.insert(bytes(key));
            }
            ["damage", file, offset, length] => {
                let place = (
                    file.into(),
                    offset.parse().unwrap(),
                    length.parse().unwrap(),
                );
                reading.damage.push(place);
            }
            ["missing", count] => reading.missing = count.parse().unwrap(),
            ["end", sequence] => reading.last_sequence = sequence.parse().unwrap(),
            ["torn", ..] => {}
            _ => panic!("the independent reader says: {line}"),
        }
    }
    readings
}

/// The bytes that a word of the reader stands for.
pub fn bytes(word: &str) -> Vec<u8> {
    let digits = if word == "-" { "" } else { word };
    let pairs = digits.as_bytes().chunks(2);
    let number = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.map(number).collect()
}
