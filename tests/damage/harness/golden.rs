//! The store that gets damaged: about 64 KiB, several segments, old versions, tombstones, images, a list of moves.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use freyja::log::{Event, OpenedSegment, ReadMode, Scanner, Segment};
use freyja::store::{Compaction, Options, Store, SyncMode};
use freyja::vfs::Vfs;
use freyja::vfs::simulated::{Crash, SimulatedDisk};

use crate::random::Random;

/// The directory of the store.
pub const STORE: &str = "/store";

/// How many keys there are, each present or deleted.
pub const KEYS: u64 = 48;

/// Before this step [`Ending::Merged`] merges.
const MERGED_AT: u64 = 220;

/// What answers to a key; `None` if it was deleted or never was.
pub type Answer = Option<Vec<u8>>;

/// In which state the store is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Closed, with images of everything.
    Closed,
    /// Closed, its images removed: opening reads the whole log.
    WithoutImages,
    /// Its process was killed: the last segment is not sealed, and there are no images.
    Killed,
    /// Closed with an image; then segments were merged, there was more to write, and the process was killed. The image is to be
    /// followed by the list of what was moved.
    Merged,
}

/// A record of the log.
#[derive(Clone, Debug)]
pub struct Record {
    pub sequence: u64,
    pub file: String,
    pub head: Range<u64>,
    pub key_bytes: Range<u64>,
    pub value: Range<u64>,
    pub key: Vec<u8>,
}

/// An intact store and all about it.
pub struct Golden {
    pub ending: Ending,
    pub disk: SimulatedDisk,
    /// File names and contents, `LOCK` left out.
    pub files: Vec<(String, Vec<u8>)>,
    /// An earlier state of the same store.
    pub earlier: BTreeMap<String, Vec<u8>>,
    /// All records, in commit order.
    pub records: Vec<Record>,
    /// Records up to this sequence number are in the image, if there is one.
    pub covered: u64,
    /// All values that each key ever had.
    pub versions: BTreeMap<Vec<u8>, Vec<Answer>>,
}

/// The key number `number`.
pub fn key(number: u64) -> Vec<u8> {
    format!("key {number:02}").into_bytes()
}

/// How the store is opened.
pub fn options(ending: Ending) -> Options {
    Options {
        sync_mode: SyncMode::Always,
        read_mode: ReadMode::Pread,
        background_threads: 0,
        segment_size: 8192,
        image_segments: match ending {
            Ending::Closed => 1,
            Ending::WithoutImages | Ending::Killed => 0,
            // So that there is none but that of the close.
            Ending::Merged => 1000,
        },
        compaction: match ending {
            Ending::Merged => Compaction::Manual,
            _ => Compaction::Automatic,
        },
        ..Options::default()
    }
}

impl Golden {
    /// The store with this ending, the same every time; `seed` tells apart stores with different identities.
    pub fn new(ending: Ending, seed: u64) -> Self {
        let disk = SimulatedDisk::new(seed);
        let mut random = Random::new(seed);
        let mut versions: BTreeMap<Vec<u8>, Vec<Answer>> = BTreeMap::new();
        let mut earlier = BTreeMap::new();
        let mut store = open(&disk, ending);
        let mut covered = 0;
        for step in 0..300_u64 {
            if ending == Ending::Merged && step == MERGED_AT {
                store.close().unwrap();
                store = open(&disk, ending);
                covered = store.stats().last_sequence;
                store.compact(|_| false).unwrap_err();
                assert_eq!(store.stats().compactions, 1);
            }
            let key = key(random.below(KEYS));
            let history = versions.entry(key.clone()).or_default();
            if random.below(5) == 0 && matches!(history.last(), Some(Some(_))) {
                assert!(store.delete(&key).unwrap());
                history.push(None);
            } else {
                let length = random.one_of(&[0, 5, 30, 200, 200, 700]);
                let mut value =
                    format!("{} of {step} ", String::from_utf8_lossy(&key)).into_bytes();
                value.resize(value.len() + length, step as u8);
                store.put(&key, &value).unwrap();
                history.push(Some(value));
            }
            if step == 100 {
                store.close().unwrap();
                store = open(&disk, ending);
            }
            if step == 200 {
                earlier = all_files(&disk).into_iter().collect();
            }
        }
        match ending {
            Ending::Closed | Ending::WithoutImages => {
                covered = store.stats().last_sequence;
                store.close().unwrap();
            }
            Ending::Killed | Ending::Merged => {}
        }
        let disk = disk.crash(Crash::ProcessKill, seed + 1);
        let files = all_files(&disk);
        let records = all_records(&disk, &files);
        Self {
            ending,
            disk,
            files,
            earlier,
            records,
            covered,
            versions,
        }
    }

    /// Names of the segment files in commit order, with their contents.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &(String, Vec<u8>)> {
        self.files.iter().filter(|(name, _)| name.ends_with(".seg"))
    }

    /// The name of the last segment.
    pub fn last_segment(&self) -> &str {
        self.segments().next_back().map_or("", |(name, _)| name)
    }

    /// What the key answers with when all is well.
    pub fn newest(&self, key: &[u8]) -> Answer {
        self.versions.get(key)?.last()?.clone()
    }

    /// Whether its process was killed, so that the last segment is not sealed.
    pub fn is_killed(&self) -> bool {
        matches!(self.ending, Ending::Killed | Ending::Merged)
    }

    /// A copy of the disk, to be damaged.
    pub fn copy(&self) -> SimulatedDisk {
        self.disk.crash(Crash::ProcessKill, 99)
    }
}

/// The store on `disk`, which is expected to open.
pub fn open(disk: &SimulatedDisk, ending: Ending) -> Store {
    Store::open_on(Arc::new(disk.clone()), Path::new(STORE), &options(ending)).unwrap()
}

fn all_files(disk: &SimulatedDisk) -> Vec<(String, Vec<u8>)> {
    let entries = disk.list(Path::new(STORE)).unwrap();
    let names = entries.into_iter().map(|it| it.name.into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name != "LOCK").collect();
    names.sort();
    let file = |name: String| {
        let bytes = disk.read_file(&Path::new(STORE).join(&name)).unwrap();
        (name, bytes)
    };
    names.into_iter().map(file).collect()
}

fn all_records(disk: &SimulatedDisk, files: &[(String, Vec<u8>)]) -> Vec<Record> {
    let mut records = Vec::new();
    for (name, _) in files.iter().filter(|(name, _)| name.ends_with(".seg")) {
        let path = Path::new(STORE).join(name);
        let segment = match Segment::open(disk, &path, ReadMode::Pread).unwrap() {
            OpenedSegment::Sealed { segment, .. } | OpenedSegment::Unsealed { segment } => segment,
            OpenedSegment::Headless { .. } => panic!("{name} has no header"),
        };
        let mut scanner = Scanner::new(&segment).unwrap();
        loop {
            match scanner.next_event().unwrap() {
                Event::Record(record) => {
                    let head = segment.head_at(record.offset).unwrap();
                    let key_at = record.offset + head.head_len as u64;
                    let value_at = key_at + head.key_len as u64;
                    records.push(Record {
                        sequence: record.sequence,
                        file: name.clone(),
                        head: record.offset..key_at,
                        key_bytes: key_at..value_at,
                        value: value_at..value_at + head.value_len as u64,
                        key: record.key.to_vec(),
                    });
                }
                Event::End(_) => break,
                Event::Mark { .. } | Event::Hints { .. } | Event::Manifest { .. } => {}
                Event::Damaged(span) => panic!("{name} is damaged: {span:?}"),
            }
        }
    }
    records.sort_by_key(|record| record.sequence);
    records
}
