//! Verifying finds all damage and nothing else and changes nothing; repairing saves what is left and never passes an older
//! version off as the newest.
#![allow(clippy::unwrap_used)] // a test that meets an error has failed

mod repairs;
mod stores;

use std::collections::BTreeMap;
use std::path::Path;

use freyja::store::{
    Batch, FindingKind, OpenMode, Options, Salvage, Severity, SyncMode, verify_on,
};
use freyja::vfs::simulated::{Crash, SimulatedDisk};
use freyja::vfs::{LockMode, Vfs};
use freyja::{Error, ErrorKind};

use stores::*;

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
