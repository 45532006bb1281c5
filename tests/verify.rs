//! Verifying finds all damage and nothing else and changes nothing; repairing saves what is left and never passes an older
//! version off as the newest.
#![allow(clippy::unwrap_used)] // a test that meets an error has failed

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use freyja::log::{Event, OpenedSegment, ReadMode, Scanner, Segment};
use freyja::store::{
    Batch, Finding, FindingKind, OpenMode, Options, RepairReport, Salvage, Severity, Store,
    SyncMode, VerifyReport, repair_on, verify_on,
};
use freyja::vfs::simulated::{Crash, Effect, SimulatedDisk};
use freyja::vfs::{LockMode, Vfs};
use freyja::{Error, ErrorKind};

const STORE: &str = "/store";
const SAVED: &str = "/saved";

fn options() -> Options {
    Options {
        sync_mode: SyncMode::Always,
        background_threads: 0,
        segment_size: 4096,
        image_segments: 0,
        ..Options::default()
    }
}

fn open(disk: &SimulatedDisk, options: &Options) -> Store {
    Store::open_on(Arc::new(disk.clone()), Path::new(STORE), options).unwrap()
}

/// A value that says whose it is and which, and is long enough that 12 fill a segment.
fn value(key: &str, version: u32) -> Vec<u8> {
    let mut value = format!("{key} in version {version} ").into_bytes();
    value.resize(300, b'.');
    value
}

/// A store of several segments in which each of twenty keys has versions 1 and 2, but key 3, which was deleted, and key 4, which has
/// only version 1.
fn filled(options: &Options) -> SimulatedDisk {
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
fn settled(disk: &SimulatedDisk) -> SimulatedDisk {
    disk.crash(Crash::ProcessKill, 1)
}

fn expected() -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut pairs = BTreeMap::new();
    for number in (0..20).filter(|number| *number != 3) {
        let key = format!("key {number}");
        let version = if number == 4 { 1 } else { 2 };
        pairs.insert(key.clone().into_bytes(), value(&key, version));
    }
    pairs
}

fn verified(disk: &SimulatedDisk) -> (VerifyReport, Vec<Finding>) {
    let before = files(disk, STORE);
    let mut findings = Vec::new();
    let mut listener = |finding: &Finding| findings.push(finding.clone());
    let report = verify_on(disk, Path::new(STORE), &mut listener).unwrap();
    assert_eq!(files(disk, STORE), before, "verifying has changed a file");
    assert_eq!(report.findings, findings.len() as u64);
    (report, findings)
}

fn repaired(disk: &SimulatedDisk, options: Salvage) -> (RepairReport, Vec<Finding>) {
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

fn saved(disk: &SimulatedDisk) -> BTreeMap<Vec<u8>, Vec<u8>> {
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

fn files(disk: &SimulatedDisk, directory: &str) -> BTreeMap<String, Vec<u8>> {
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
struct Place {
    path: PathBuf,
    start: u64,
    value_at: u64,
    end: u64,
}

/// All records of `key`, oldest first.
fn records(disk: &SimulatedDisk, key: &str) -> Vec<Place> {
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

fn newest(disk: &SimulatedDisk, key: &str) -> Place {
    records(disk, key).pop().unwrap()
}

fn flip(disk: &SimulatedDisk, path: &Path, offset: u64) {
    let mut bytes = disk.read_file(path).unwrap();
    bytes[offset as usize] ^= 0x10;
    disk.overwrite_file(path, &bytes).unwrap();
}

fn path_of(name: &str) -> PathBuf {
    Path::new(STORE).join(name)
}

#[test]
fn a_sound_store_has_no_findings_with_and_without_images_and_hints() {
    for (image_segments, value_len) in [(0, 300), (1, 300), (1, 1500), (0, 1500)] {
        let disk = SimulatedDisk::new(1);
        let options = Options {
            image_segments,
            segment_size: 16384,
            ..options()
        };
        let store = open(&disk, &options);
        for number in 0..200_u32 {
            let key = format!("key {}", number % 60);
            store.put(key.as_bytes(), &vec![7; value_len]).unwrap();
            if number % 7 == 0 {
                assert!(store.delete(key.as_bytes()).unwrap());
            }
        }
        let keys = store.count();
        store.close().unwrap();
        let (report, findings) = verified(&disk);
        assert_eq!(findings, [], "{image_segments} {value_len}");
        assert_eq!(
            (report.keys, report.lost_keys, report.keys_in_doubt),
            (keys, 0, 0)
        );
        assert_eq!(report.records, 200 + 200_u64.div_ceil(7));
        assert_eq!(report.images, u64::from(image_segments));
        assert!(report.first_damage.is_none() && report.segments > 3);
    }
}

#[test]
fn a_store_without_any_record_is_sound() {
    let disk = SimulatedDisk::new(1);
    open(&disk, &options()).close().unwrap();
    let (report, findings) = verified(&disk);
    assert_eq!((report.segments, report.keys, findings), (0, 0, vec![]));
}

#[test]
fn a_damaged_value_is_found_with_its_place_and_its_key_and_costs_that_key_only() {
    let disk = filled(&options());
    let place = newest(&disk, "key 9");
    flip(&disk, &place.path, place.value_at + 10);
    let (report, findings) = verified(&disk);
    let [finding] = &findings[..] else {
        panic!("{findings:?}");
    };
    assert_eq!(finding.kind, FindingKind::DamagedRecord);
    assert_eq!(finding.severity, Severity::Loss);
    assert_eq!((&finding.path, finding.offset), (&place.path, place.start));
    assert_eq!(finding.length, place.end - place.start);
    assert_eq!(finding.key.as_deref(), Some(&b"key 9"[..]));
    assert_eq!(
        (report.keys, report.lost_keys, report.lost_records),
        (18, 1, 1)
    );
    assert_eq!(report.unidentified_records, 0);
    let error = report.first_damage.unwrap();
    assert_eq!(
        (error.kind(), error.offset()),
        (ErrorKind::Corrupt, place.start)
    );

    let (report, _) = repaired(&disk, Salvage::default());
    let mut pairs = expected();
    pairs.remove(&b"key 9"[..]);
    assert_eq!(saved(&disk), pairs);
    assert_eq!((report.keys_saved, report.keys_left_out), (18, 1));
    assert_eq!(report.older_versions, 0);
}

#[test]
fn an_older_version_is_saved_only_if_asked_for_and_is_named() {
    let disk = filled(&options());
    for key in ["key 9", "key 4"] {
        let place = newest(&disk, key);
        flip(&disk, &place.path, place.value_at);
    }
    let options = Salvage {
        older_versions: true,
    };
    let (report, findings) = repaired(&disk, options);
    let mut pairs = expected();
    pairs.insert(b"key 9".to_vec(), value("key 9", 1));
    pairs.remove(&b"key 4"[..]); // has no older version
    assert_eq!(saved(&disk), pairs);
    assert_eq!((report.older_versions, report.keys_left_out), (1, 1));
    let mut older = findings
        .iter()
        .filter(|it| it.kind == FindingKind::OlderVersion);
    assert_eq!(older.next().unwrap().key.as_deref(), Some(&b"key 9"[..]));
    assert!(older.next().is_none());
}

#[test]
fn a_deleted_key_stays_deleted_also_in_older_versions() {
    let disk = filled(&options());
    let place = records(&disk, "key 3").remove(0);
    flip(&disk, &place.path, place.value_at);
    let options = Salvage {
        older_versions: true,
    };
    let (report, findings) = repaired(&disk, options);
    assert_eq!(saved(&disk), expected());
    assert_eq!((report.keys_left_out, report.found.lost_keys), (0, 0));
    // It was damage, though nothing is lost by it.
    assert_eq!(findings[0].severity, Severity::Damage);
}

#[test]
fn damage_to_a_superseded_record_loses_nothing() {
    let disk = filled(&options());
    let place = records(&disk, "key 9").remove(0);
    flip(&disk, &place.path, place.value_at);
    let (report, findings) = verified(&disk);
    assert_eq!((report.keys, report.lost_keys, report.losses), (19, 0, 0));
    assert_eq!(findings[0].severity, Severity::Damage);
    repaired(&disk, Salvage::default());
    assert_eq!(saved(&disk), expected());
}

#[test]
fn a_record_without_a_trace_of_its_key_puts_older_keys_in_doubt() {
    let disk = filled(&options());
    let place = newest(&disk, "key 9");
    // Kind, lengths, sequence number and key.
    let mut bytes = disk.read_file(&place.path).unwrap();
    bytes[place.start as usize..place.value_at as usize].fill(0xff);
    disk.overwrite_file(&place.path, &bytes).unwrap();
    let (report, findings) = verified(&disk);
    assert_eq!((report.lost_records, report.unidentified_records), (1, 1));
    assert_eq!(findings[0].key, None);
    assert_eq!(findings[0].first_sequence, findings[0].last_sequence);
    assert!(findings[0].first_sequence > 20);
    // Keys 0 to 8 but the deleted one, and version 1 of the others: which have newer ones, but that of key 9.
    assert_eq!(report.keys_in_doubt, 9);
    assert_eq!((report.keys, report.lost_keys), (19, 0));
}

#[test]
fn an_image_tells_whose_a_record_was_of_which_nothing_can_be_made_out() {
    let with_image = Options {
        image_segments: 1,
        ..options()
    };
    let disk = filled(&with_image);
    for key in ["key 9", "key 3"] {
        let place = newest(&disk, key);
        let mut bytes = disk.read_file(&place.path).unwrap();
        bytes[place.start as usize..place.value_at as usize].fill(0xff);
        disk.overwrite_file(&place.path, &bytes).unwrap();
    }
    let (report, findings) = verified(&disk);
    assert_eq!(
        (report.lost_keys, report.keys_in_doubt),
        (1, 0),
        "{findings:?}"
    );
    let keyed = |key: &[u8]| findings.iter().find(|it| it.key.as_deref() == Some(key));
    assert_eq!(keyed(b"key 9").unwrap().severity, Severity::Loss);
    assert_eq!(keyed(b"key 3").unwrap().severity, Severity::Damage);
    let options = Salvage {
        older_versions: true,
    };
    let (report, _) = repaired(&disk, options);
    let mut pairs = expected();
    pairs.insert(b"key 9".to_vec(), value("key 9", 1));
    // Key 3 was deleted, which only the image still knows.
    assert_eq!(saved(&disk), pairs);
    assert_eq!((report.older_versions, report.keys_left_out), (1, 0));
}

#[test]
fn hints_tell_whose_the_records_were_that_a_destroyed_block_held() {
    let disk = SimulatedDisk::new(3);
    let large = Options {
        segment_size: 65536,
        ..options()
    };
    let store = open(&disk, &large);
    for version in 0..2 {
        for number in 0..20 {
            let key = format!("key {number}");
            store.put(key.as_bytes(), &vec![version; 1500]).unwrap();
        }
    }
    store.close().unwrap();
    let disk = settled(&disk);
    let (first, last) = (newest(&disk, "key 7"), newest(&disk, "key 9"));
    assert_eq!(first.path, last.path);
    let mut bytes = disk.read_file(&first.path).unwrap();
    bytes[first.start as usize..last.value_at as usize].fill(0xaa);
    disk.overwrite_file(&first.path, &bytes).unwrap();
    let (report, findings) = verified(&disk);
    let keys: Vec<_> = findings
        .iter()
        .map(|finding| finding.key.clone().unwrap())
        .collect();
    assert_eq!(keys, [b"key 7", b"key 8", b"key 9"]);
    assert_eq!((report.lost_keys, report.unidentified_records), (3, 0));
    assert_eq!((report.keys, report.keys_in_doubt), (17, 0));
    let (report, _) = repaired(&disk, Salvage::default());
    assert_eq!((report.keys_saved, report.keys_left_out), (17, 3));
}

#[test]
fn damaged_hints_are_found_and_lose_nothing() {
    let disk = SimulatedDisk::new(3);
    let store = open(&disk, &options());
    store.put(b"key 1", &[1; 2000]).unwrap();
    store.close().unwrap();
    let disk = settled(&disk);
    let place = newest(&disk, "key 1");
    flip(&disk, &place.path, place.end + 8);
    let (report, findings) = verified(&disk);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].kind, FindingKind::DamagedHints);
    assert_eq!((report.damages, report.losses, report.keys), (1, 0, 1));
}

#[test]
fn a_damaged_header_is_found_and_loses_nothing_while_the_footer_has_its_copy() {
    let disk = filled(&options());
    let path = path_of("0000000000000002.seg");
    flip(&disk, &path, 40);
    let (report, findings) = verified(&disk);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].kind, FindingKind::DamagedHeader);
    assert_eq!((report.losses, report.keys), (0, 19));
    repaired(&disk, Salvage::default());
    assert_eq!(saved(&disk), expected());
}

#[test]
fn a_missing_file_is_found_by_the_sequence_numbers_of_the_others() {
    for name in ["0000000000000001.seg", "0000000000000002.seg"] {
        let disk = filled(&options());
        disk.remove_file(&path_of(name)).unwrap();
        let (report, findings) = verified(&disk);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].kind, FindingKind::MissingRecords);
        let count = findings[0].last_sequence + 1 - findings[0].first_sequence;
        assert!((11..=13).contains(&count), "{findings:?}");
        assert_eq!(report.lost_records, count);
        assert_eq!(report.unidentified_records, count);
        // What was written later is certain.
        assert!(report.keys_in_doubt < report.keys);
    }
}

#[test]
fn a_file_that_cannot_be_used_is_found_and_what_was_in_it_counted() {
    let disk = filled(&options());
    let path = path_of("0000000000000002.seg");
    let length = disk.read_file(&path).unwrap().len();
    disk.overwrite_file(&path, &vec![0x55; length]).unwrap();
    let (report, findings) = verified(&disk);
    let kinds: Vec<_> = findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(
        kinds,
        [FindingKind::UnusableFile, FindingKind::MissingRecords]
    );
    assert_eq!(findings[0].length, length as u64);
    assert!((11..=13).contains(&report.lost_records));
}

#[test]
fn if_the_last_file_cannot_be_used_every_key_is_in_doubt() {
    let disk = filled(&options());
    let names = files(&disk, STORE);
    let name = names.keys().rfind(|name| name.ends_with(".seg")).unwrap();
    disk.overwrite_file(&path_of(name), &[1; 5000]).unwrap();
    let (report, _) = verified(&disk);
    assert!(report.keys > 0 && report.keys_in_doubt == report.keys);
}

#[test]
fn a_damaged_image_is_found_and_loses_nothing() {
    let with_image = Options {
        image_segments: 1,
        ..options()
    };
    let names = files(&filled(&with_image), STORE);
    let name = names.keys().find(|name| name.ends_with(".img")).unwrap();
    let length = names[name].len() as u64;
    // Header, a shard, the directory, the trailer.
    for offset in [20, 200, length - 60, length - 10] {
        let disk = filled(&with_image);
        flip(&disk, &path_of(name), offset);
        let (report, findings) = verified(&disk);
        assert_eq!(findings.len(), 1, "{offset}: {findings:?}");
        assert_eq!(findings[0].kind, FindingKind::DamagedImage);
        assert_eq!((report.damages, report.losses), (1, 0));
        assert_eq!(report.keys, 19);
    }
}

#[test]
fn an_intact_image_that_is_wrong_is_found() {
    let with_image = Options {
        image_segments: 1,
        ..options()
    };
    let disk = filled(&with_image);
    let names = files(&disk, STORE);
    let name = names.keys().find(|name| name.ends_with(".img")).unwrap();
    let mut bytes = names[name].clone();
    let length = bytes.len();
    // The only shard, described at the end of the directory, is given other bytes and their checksum; then the directory
    // and the trailer are given theirs.
    let trailer = length - 32;
    let number = |bytes: &[u8], at: usize| {
        u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize
    };
    let directory = number(&bytes, trailer);
    let entry = trailer - 48;
    let (shard, shard_length) = (number(&bytes, entry + 16), number(&bytes, entry + 24));
    // The lower part of the location in an occupied slot.
    let slot = (shard + 20..shard + shard_length)
        .find(|at| (*at - shard - 20).is_multiple_of(4) && bytes[*at..*at + 2] != [0, 0])
        .unwrap();
    bytes[slot] ^= 1;
    let checksum = crc32fast::hash(&bytes[shard..shard + shard_length]);
    bytes[entry + 12..entry + 16].copy_from_slice(&checksum.to_le_bytes());
    let checksum = crc32fast::hash(&bytes[directory..trailer]);
    bytes[trailer + 16..trailer + 20].copy_from_slice(&checksum.to_le_bytes());
    let checksum = crc32fast::hash(&bytes[trailer..trailer + 20]);
    bytes[trailer + 20..trailer + 24].copy_from_slice(&checksum.to_le_bytes());
    disk.overwrite_file(&path_of(name), &bytes).unwrap();
    let (report, findings) = verified(&disk);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].kind, FindingKind::WrongImage);
    assert_eq!(report.losses, 1);
}

#[test]
fn an_image_of_an_older_log_is_no_damage() {
    let with_image = Options {
        image_segments: 1,
        ..options()
    };
    let disk = filled(&with_image);
    let store = open(&disk, &options());
    store.put(b"key 3", &value("key 3", 9)).unwrap();
    store.close().unwrap();
    let (report, findings) = verified(&disk);
    assert_eq!((findings, report.keys), (vec![], 20));
}

#[test]
fn what_a_killed_process_leaves_is_no_damage() {
    let disk = SimulatedDisk::new(5);
    let relaxed = Options {
        sync_mode: SyncMode::None,
        ..options()
    };
    let store = open(&disk, &relaxed);
    for number in 0..30 {
        let key = format!("key {number}");
        store.put(key.as_bytes(), &value(&key, 1)).unwrap();
    }
    let disk = disk.crash(Crash::ProcessKill, 1);
    let (report, findings) = verified(&disk);
    assert_eq!((report.damages, report.keys), (0, 30), "{findings:?}");
}

#[test]
fn a_torn_tail_is_no_damage_and_torn_batches_are_not_saved() {
    let disk = SimulatedDisk::new(5);
    let relaxed = Options {
        sync_mode: SyncMode::None,
        ..options()
    };
    let store = open(&disk, &relaxed);
    store.put(b"key 1", b"one").unwrap();
    store.sync().unwrap();
    let mut batch = Batch::new();
    for number in 2..8 {
        let key = format!("key {number}");
        batch.put(key.as_bytes(), &value(&key, 1)).unwrap();
    }
    store.write(&batch).unwrap();
    let disk = disk.crash(Crash::ProcessKill, 1);
    let place = newest(&disk, "key 7");
    flip(&disk, &place.path, place.value_at);
    let (report, findings) = verified(&disk);
    assert_eq!((report.damages, report.keys), (0, 1), "{findings:?}");
    assert_eq!(findings[0].kind, FindingKind::TornTail);
    assert_eq!(report.torn_bytes, findings[0].length);
    repaired(&disk, Salvage::default());
    let pairs = BTreeMap::from([(b"key 1".to_vec(), b"one".to_vec())]);
    assert_eq!(saved(&disk), pairs);
}

#[test]
fn files_whose_creation_was_cut_short_are_noted() {
    let disk = filled(&options());
    for name in ["00000000000000ff.new", "index-00000000000000ff.new"] {
        disk.create_new(&path_of(name)).unwrap();
    }
    let (report, findings) = verified(&disk);
    assert_eq!((report.findings, report.damages), (2, 0));
    let mut kinds = findings.iter().map(|finding| finding.kind);
    assert!(kinds.all(|kind| kind == FindingKind::UnfinishedFile));
}

#[test]
fn a_segment_of_another_store_and_a_second_copy_are_found() {
    let disk = filled(&options());
    let other = {
        let disk = SimulatedDisk::new(8);
        let store = open(&disk, &options());
        store.put(b"key 1", b"of another store").unwrap();
        store.close().unwrap();
        disk.read_file(&path_of("0000000000000001.seg")).unwrap()
    };
    let path = path_of("0000000000000001.seg");
    disk.overwrite_file(&path, &other).unwrap();
    let (report, findings) = verified(&disk);
    let kinds: Vec<_> = findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(
        kinds,
        [FindingKind::OtherStore, FindingKind::MissingRecords]
    );
    assert!(report.lost_records >= 11);
    let (_, findings) = repaired(&disk, Salvage::default());
    assert_eq!(findings.len(), 2);
    assert!(
        saved(&disk)
            .values()
            .all(|value| !value.starts_with(b"of another"))
    );
}

#[test]
fn a_store_that_is_open_for_writing_is_busy_and_one_open_for_reading_is_not() {
    let disk = filled(&options());
    let fails = |disk: &SimulatedDisk| verify_on(disk, Path::new(STORE), &mut |_| {}).err();
    let store = open(&disk, &options());
    assert_eq!(fails(&disk).unwrap().kind(), ErrorKind::Busy);
    store.close().unwrap();
    let reading = Options {
        mode: OpenMode::ReadOnly,
        ..options()
    };
    let store = open(&disk, &reading);
    assert!(fails(&disk).is_none());
    store.close().unwrap();
    let lock = disk.lock(&path_of("LOCK"), LockMode::Exclusive).unwrap();
    assert_eq!(fails(&disk).unwrap().kind(), ErrorKind::Busy);
    drop(lock);
    assert!(fails(&disk).is_none());
}

#[test]
fn what_is_no_store_is_told_apart() {
    let disk = SimulatedDisk::new(1);
    let fails = |path: &str| {
        let error: Error = verify_on(&disk, Path::new(path), &mut |_| {}).unwrap_err();
        error.kind()
    };
    assert_eq!(fails("/nowhere"), ErrorKind::NotFound);
    disk.create_directory(Path::new("/empty")).unwrap();
    assert_eq!(fails("/empty"), ErrorKind::NotFound);
}

#[test]
fn a_store_without_a_lock_file_is_read_and_gets_none() {
    let disk = filled(&options());
    disk.remove_file(&path_of("LOCK")).unwrap();
    let (report, _) = verified(&disk);
    assert_eq!(report.keys, 19);
    assert!(!files(&disk, STORE).contains_key("LOCK"));
}

#[test]
fn a_newer_version_is_refused_by_both() {
    let disk = filled(&options());
    let path = path_of("0000000000000002.seg");
    let mut bytes = disk.read_file(&path).unwrap();
    bytes[8] = 2;
    let checksum = crc32fast::hash(&bytes[..124]);
    bytes[124..128].copy_from_slice(&checksum.to_le_bytes());
    disk.overwrite_file(&path, &bytes).unwrap();
    let before = files(&disk, STORE);
    let error = verify_on(&disk, Path::new(STORE), &mut |_| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Version);
    let error = try_repair(&disk).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Version);
    assert_eq!(files(&disk, STORE), before);
}

fn try_repair(disk: &SimulatedDisk) -> freyja::Result<RepairReport> {
    let (store, saved) = (Path::new(STORE), Path::new(SAVED));
    let options = Salvage::default();
    repair_on(Arc::new(disk.clone()), store, saved, &options, &mut |_| {})
}

#[test]
fn a_repair_writes_into_no_directory_in_which_there_is_something() {
    let disk = filled(&options());
    disk.create_directory(Path::new(SAVED)).unwrap();
    disk.create_new(&Path::new(SAVED).join("precious")).unwrap();
    assert_eq!(try_repair(&disk).unwrap_err().kind(), ErrorKind::Exists);
    let names = files(&disk, SAVED);
    assert_eq!(names.keys().collect::<Vec<_>>(), ["precious"]);
}

#[test]
fn a_repair_of_a_sound_store_is_a_copy_of_its_pairs() {
    let disk = filled(&options());
    let (report, findings) = repaired(&disk, Salvage::default());
    assert_eq!(findings, []);
    assert_eq!(saved(&disk), expected());
    assert_eq!((report.keys_saved, report.keys_left_out), (19, 0));
    let bytes: usize = expected().iter().map(|(k, v)| k.len() + v.len()).sum();
    assert_eq!(report.bytes_saved, bytes as u64);
}

#[test]
fn a_repair_that_a_crash_interrupts_leaves_nothing_that_opens_as_a_whole_store() {
    let begin = filled(&options()).calls();
    let mut refused = 0;
    for crash_at in begin.. {
        let disk = filled(&options());
        disk.stop_at(crash_at, Effect::Before);
        if try_repair(&disk).is_ok() {
            break;
        }
        let disk = disk.crash(Crash::PowerLoss, crash_at);
        let open = Store::open_on(
            Arc::new(disk.clone()),
            Path::new(SAVED),
            &Options {
                mode: OpenMode::MustExist,
                ..options()
            },
        );
        match open {
            // All is there: only the removal of the marker was not durable yet, or was.
            Ok(store) => assert_eq!(store.count(), 19, "crash at {crash_at}"),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                assert!(error.message().contains("never finished"), "{error}");
                refused += 1;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
        }
    }
    assert!(refused > 5, "{refused}");
}

#[test]
fn a_repair_keeps_expiries_and_leaves_out_what_was_found_expired() {
    let disk = SimulatedDisk::new(1);
    disk.set_wall_clock_ms(1000);
    let store = open(&disk, &options());
    store.put_expiring(b"key 1", b"long", 9000).unwrap();
    store.put_expiring(b"key 2", b"short", 2000).unwrap();
    store.put_expiring(b"key 3", b"shortest", 1500).unwrap();
    store.put(b"key 4", b"for ever").unwrap();
    disk.set_wall_clock_ms(1600);
    assert_eq!(store.get(b"key 3").unwrap(), None);
    store.close().unwrap();
    let (report, findings) = repaired(&disk, Salvage::default());
    assert_eq!(
        (findings, report.keys_saved, report.keys_expired),
        (vec![], 3, 1)
    );
    // Although the clock steps back.
    disk.set_wall_clock_ms(1000);
    let answers = |now| {
        disk.set_wall_clock_ms(now);
        let vfs = Arc::new(disk.clone());
        let store = Store::open_on(vfs, Path::new(SAVED), &options()).unwrap();
        ["key 1", "key 2", "key 3", "key 4"].map(|key| store.get(key.as_bytes()).unwrap().is_some())
    };
    assert_eq!(answers(1000), [true, true, false, true]);
    assert_eq!(answers(2000), [true, false, false, true]);
    assert_eq!(answers(9000), [false, false, false, true]);
}

/// As [`filled`], with all of it but the last segment compacted.
fn compacted(options: &Options) -> SimulatedDisk {
    let disk = filled(options);
    let store = open(&disk, options);
    store.compact(|_| true).unwrap();
    store.put(b"key 0", &value("key 0", 2)).unwrap();
    store.close().unwrap();
    drop(store);
    settled(&disk)
}

#[test]
fn a_compacted_store_is_sound_and_damage_to_it_is_found_and_repaired() {
    for image_segments in [0, 1] {
        let options = Options {
            image_segments,
            ..options()
        };
        let disk = compacted(&options);
        let (report, findings) = verified(&disk);
        assert_eq!((findings, report.keys), (vec![], 19));
        assert!(report.records < 39, "nothing was compacted");

        let place = newest(&disk, "key 9");
        flip(&disk, &place.path, place.value_at);
        let (report, findings) = verified(&disk);
        assert_eq!(
            (report.lost_keys, report.lost_records),
            (1, 1),
            "{findings:?}"
        );
        assert_eq!(findings[0].key.as_deref(), Some(&b"key 9"[..]));
        let (report, _) = repaired(&disk, Salvage::default());
        let mut pairs = expected();
        pairs.remove(&b"key 9"[..]);
        assert_eq!(saved(&disk), pairs);
        assert_eq!((report.keys_saved, report.keys_left_out), (18, 1));
    }
}

#[test]
fn a_missing_output_of_compaction_is_found() {
    let disk = compacted(&options());
    let path = newest(&disk, "key 9").path;
    disk.remove_file(&path).unwrap();
    let (report, findings) = verified(&disk);
    assert!(report.losses > 0, "{findings:?}");
    assert!(report.keys < 19);
    assert!(
        findings
            .iter()
            .any(|it| it.kind == FindingKind::MissingRecords)
    );
}
