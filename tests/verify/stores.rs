//! The stores that are examined, and what is done to them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use freyja::log::{Event, OpenedSegment, ReadMode, Scanner, Segment};
use freyja::store::{
    Finding, OpenMode, Options, RepairReport, Salvage, Store, SyncMode, VerifyReport, repair_on,
    verify_on,
};
use freyja::vfs::Vfs;
use freyja::vfs::simulated::{Crash, SimulatedDisk};

pub const STORE: &str = "/store";
pub const SAVED: &str = "/saved";

pub fn options() -> Options {
    Options {
        sync_mode: SyncMode::Always,
        background_threads: 0,
        segment_size: 4096,
        image_segments: 0,
        ..Options::default()
    }
}

pub fn open(disk: &SimulatedDisk, options: &Options) -> Store {
    Store::open_on(Arc::new(disk.clone()), Path::new(STORE), options).unwrap()
}

/// A value that says whose it is and which, and is long enough that 12 fill a segment.
pub fn value(key: &str, version: u32) -> Vec<u8> {
    let mut value = format!("{key} in version {version} ").into_bytes();
    value.resize(300, b'.');
    value
}

/// A store of several segments in which each of twenty keys has versions 1 and 2, but key 3, which was deleted, and key 4, which has
/// only version 1.
pub fn filled(options: &Options) -> SimulatedDisk {
    let disk = SimulatedDisk::new(7);
    let store = open(&disk, options);
    for version in [1, 2] {
        for number in 0..20 {
            let key = format!("key {number}");
            match (version, number) {
                (2, 3) => assert!(store.delete(key.as_bytes()).unwrap()),
                (2, 4) => {}
                _ => store.put(key.as_bytes(), &value(&key, version)).unwrap(),
            }
        }
    }
    store.close().unwrap();
    drop(store);
    settled(&disk)
}

/// A copy of the disk that no process uses, so that it may be damaged.
pub fn settled(disk: &SimulatedDisk) -> SimulatedDisk {
    disk.crash(Crash::ProcessKill, 1)
}

pub fn expected() -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut pairs = BTreeMap::new();
    for number in (0..20).filter(|number| *number != 3) {
        let key = format!("key {number}");
        let version = if number == 4 { 1 } else { 2 };
        pairs.insert(key.clone().into_bytes(), value(&key, version));
    }
    pairs
}

pub fn verified(disk: &SimulatedDisk) -> (VerifyReport, Vec<Finding>) {
    let before = files(disk, STORE);
    let mut findings = Vec::new();
    let mut listener = |finding: &Finding| findings.push(finding.clone());
    let report = verify_on(disk, Path::new(STORE), &mut listener).unwrap();
    assert_eq!(files(disk, STORE), before, "verifying has changed a file");
    assert_eq!(report.findings, findings.len() as u64);
    (report, findings)
}

pub fn repaired(disk: &SimulatedDisk, options: Salvage) -> (RepairReport, Vec<Finding>) {
    let before = files(disk, STORE);
    let mut findings = Vec::new();
    let mut listener = |finding: &Finding| findings.push(finding.clone());
    let vfs = Arc::new(disk.clone());
    let (store, saved) = (Path::new(STORE), Path::new(SAVED));
    let report = repair_on(vfs, store, saved, &options, &mut listener).unwrap();
    assert_eq!(
        files(disk, STORE),
        before,
        "repairing has changed the original"
    );
    (report, findings)
}

pub fn saved(disk: &SimulatedDisk) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let options = Options {
        mode: OpenMode::MustExist,
        ..options()
    };
    let vfs = Arc::new(disk.clone());
    let store = Store::open_on(vfs, Path::new(SAVED), &options).unwrap();
    let mut pairs = BTreeMap::new();
    for number in 0..30 {
        let key = format!("key {number}").into_bytes();
        if let Some(value) = store.get(&key).unwrap() {
            pairs.insert(key, value);
        }
    }
    assert_eq!(store.count(), pairs.len() as u64);
    assert!(store.failure().is_none());
    pairs
}

pub fn files(disk: &SimulatedDisk, directory: &str) -> BTreeMap<String, Vec<u8>> {
    let entries = disk.list(Path::new(directory)).unwrap();
    let names = entries.into_iter().map(|it| it.name.into_string().unwrap());
    names
        .map(|name| {
            let bytes = disk.read_file(&Path::new(directory).join(&name)).unwrap();
            (name, bytes)
        })
        .collect()
}

/// A record of the store: its file, where it begins and ends, where its value begins.
#[derive(Clone, Debug)]
pub struct Place {
    pub path: PathBuf,
    pub start: u64,
    pub value_at: u64,
    pub end: u64,
}

/// All records of `key`, oldest first.
pub fn records(disk: &SimulatedDisk, key: &str) -> Vec<Place> {
    let mut names: Vec<_> = files(disk, STORE).into_keys().collect();
    names.retain(|name| name.ends_with(".seg"));
    let mut places = Vec::new();
    for name in names {
        let path = Path::new(STORE).join(name);
        let segment = match Segment::open(disk, &path, ReadMode::Pread).unwrap() {
            OpenedSegment::Sealed { segment, .. } | OpenedSegment::Unsealed { segment } => segment,
            OpenedSegment::Headless { .. } => continue,
        };
        let mut scanner = Scanner::new(&segment).unwrap();
        loop {
            match scanner.next_event().unwrap() {
                Event::Record(record) if record.key == key.as_bytes() => {
                    let head = segment.head_at(record.offset).unwrap();
                    let key_at = record.offset + head.head_len as u64;
                    places.push(Place {
                        path: path.clone(),
                        start: record.offset,
                        value_at: key_at + head.key_len as u64,
                        end: record.offset + record.len,
                    });
                }
                Event::End(_) => break,
                _ => {}
            }
        }
    }
    places
}

pub fn newest(disk: &SimulatedDisk, key: &str) -> Place {
    records(disk, key).pop().unwrap()
}

pub fn flip(disk: &SimulatedDisk, path: &Path, offset: u64) {
    let mut bytes = disk.read_file(path).unwrap();
    bytes[offset as usize] ^= 0x10;
    disk.overwrite_file(path, &bytes).unwrap();
}

pub fn path_of(name: &str) -> PathBuf {
    Path::new(STORE).join(name)
}

pub fn try_repair(disk: &SimulatedDisk) -> freyja::Result<RepairReport> {
    let (store, saved) = (Path::new(STORE), Path::new(SAVED));
    let options = Salvage::default();
    repair_on(Arc::new(disk.clone()), store, saved, &options, &mut |_| {})
}
