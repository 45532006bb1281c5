//! However the index is brought back, the store is what its log says: the newest record of each key counts, damage is
//! told, and the figures agree.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use freyja::ErrorKind;
use freyja::log::record::Kind;
use freyja::log::{Event, OpenedSegment, ReadMode, Scanner, Segment};
use freyja::store::{Compaction, KeyStorage, Options, RecoveryWay, Store, SyncMode};
use freyja::vfs::Vfs;
use freyja::vfs::simulated::{Crash, Effect, Operation, Repeat, SimulatedDisk};

const STORE: &str = "/store";

/// A small generator of its own (Marsaglia's xorshift). `FREYJA_SEED=n` replays seed n; a failure tells the seed.
struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    fn new(default_seed: u64) -> Self {
        let given = std::env::var("FREYJA_SEED").ok();
        let seed = given.map_or(default_seed, |seed| seed.parse().unwrap());
        let state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        Self { seed, state }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) % limit
    }
}

impl Drop for Random {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay with FREYJA_SEED={}", self.seed);
        }
    }
}

fn options() -> Options {
    Options {
        sync_mode: SyncMode::None,
        background_threads: 0,
        segment_size: 64 << 10,
        image_segments: 0,
        // What is in the files is compared with what was written.
        compaction: Compaction::Manual,
        ..Options::default()
    }
}

fn open_with(disk: &SimulatedDisk, options: &Options) -> Store {
    Store::open_on(Arc::new(disk.clone()), Path::new(STORE), options).unwrap()
}

/// The disk as another process finds it after this one was killed.
fn killed(disk: &SimulatedDisk) -> SimulatedDisk {
    disk.crash(Crash::ProcessKill, 0)
}

fn segments(disk: &SimulatedDisk) -> Vec<PathBuf> {
    let entries = disk.list(Path::new(STORE)).unwrap();
    let names = entries
        .iter()
        .map(|entry| Path::new(STORE).join(&entry.name));
    let mut paths: Vec<PathBuf> = names
        .filter(|path| path.extension().is_some_and(|it| it == "seg"))
        .collect();
    paths.sort();
    paths
}

fn key(number: u64) -> Vec<u8> {
    format!("key {number}").into_bytes()
}

/// Puts and deletes among `keys` keys.
fn work(store: &Store, random: &mut Random, keys: u64, operations: u64) {
    for step in 0..operations {
        let key = key(random.below(keys));
        if random.below(4) == 0 {
            store.delete(&key).unwrap();
        } else {
            let value = vec![step as u8; random.below(60) as usize];
            store.put(&key, &value).unwrap();
        }
    }
}

/// What a log amounts to, read record by record in the plainest way.
#[derive(Debug, Default, PartialEq, Eq)]
struct Truth {
    /// Of each key the segment and offset of its record, and whether that is damaged.
    keys: BTreeMap<Vec<u8>, (u64, u64, bool)>,
    records: u64,
    dead_bytes: u64,
    damaged_spans: u64,
}

impl Truth {
    fn of(disk: &SimulatedDisk) -> Self {
        let mut truth = Self::default();
        // Lengths of the records that count.
        let mut lengths = BTreeMap::new();
        for path in segments(disk) {
            let opened = Segment::open(disk, &path, ReadMode::Pread).unwrap();
            let OpenedSegment::Sealed { segment, .. } = opened else {
                panic!("{}: was closed", path.display());
            };
            let mut scanner = Scanner::new(&segment).unwrap();
            loop {
                let (kind, key, offset, length, damaged) = match scanner.next_event().unwrap() {
                    Event::Record(record) => {
                        truth.records += 1;
                        (record.kind, record.key, record.offset, record.len, false)
                    }
                    Event::Damaged(span) => {
                        truth.damaged_spans += 1;
                        match span.probable {
                            Some(record) => (Kind::Put, record.key, span.offset, span.len, true),
                            None => continue,
                        }
                    }
                    Event::Mark { .. } | Event::Hints { .. } | Event::Manifest { .. } => continue,
                    Event::End(_) => break,
                };
                if let Some(length) = lengths.remove(key) {
                    truth.dead_bytes += length;
                }
                truth.keys.remove(key);
                if kind == Kind::Put {
                    truth
                        .keys
                        .insert(key.to_vec(), (segment.id(), offset, damaged));
                    lengths.insert(key.to_vec(), length);
                } else {
                    truth.dead_bytes += length;
                }
            }
        }
        truth
    }

    fn of_store(store: &Store, keys: u64) -> Self {
        let mut found = BTreeMap::new();
        let report = store.recovery_report();
        for number in 0..keys {
            let key = key(number);
            match store.locate(&key) {
                Ok(Some(place)) => {
                    found.insert(key, (place.segment_id, place.offset, false));
                }
                Ok(None) => assert!(!store.exists(&key).unwrap()),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corrupt);
                    let offset = error.offset();
                    let spans = report.damaged.iter();
                    let mut here = spans.filter(|span| span.offset == offset);
                    let span =
                        here.find(|span| error.message().contains(span.path.to_str().unwrap()));
                    let name = span.expect("damage was reported").path.file_stem().unwrap();
                    let id = u64::from_str_radix(name.to_str().unwrap(), 16).unwrap();
                    found.insert(key, (id, offset, true));
                }
            }
        }
        store.count();
        let stats = store.stats();
        assert_eq!(stats.shards_absent, 0);
        Self {
            keys: found,
            records: stats.recovered_records,
            dead_bytes: stats.dead_bytes,
            damaged_spans: stats.recovery_damaged_spans,
        }
    }
}

/// A disk with a closed store that has no image.
fn closed(random: &mut Random, keys: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::new(random.seed);
    let store = open_with(&disk, &options());
    work(&store, random, keys, 12_000);
    store.close().unwrap();
    killed(&disk)
}

#[test]
fn a_whole_log_read_by_one_thread_or_two_gives_what_reading_it_plainly_gives() {
    for (seed, keys) in [(1, 50), (2, 4000), (3, 100_000)] {
        let mut random = Random::new(seed);
        let disk = closed(&mut random, keys);
        let truth = Truth::of(&disk);
        for (background_threads, key_storage) in [
            (0, KeyStorage::InMemory),
            (0, KeyStorage::OnDisk),
            (1, KeyStorage::InMemory),
            (1, KeyStorage::OnDisk),
        ] {
            for read_mode in [ReadMode::Mapped, ReadMode::Pread] {
                let store = open_with(
                    &killed(&disk),
                    &Options {
                        background_threads,
                        key_storage,
                        read_mode,
                        ..options()
                    },
                );
                assert_eq!(store.stats().recovery_way, RecoveryWay::Scan as u64);
                let found = Truth::of_store(&store, keys);
                assert_eq!(store.count(), truth.keys.len() as u64);
                assert!(found == truth, "seed {seed}, {background_threads} threads");
            }
        }
    }
}

#[test]
fn a_damaged_log_read_by_one_thread_or_two_gives_what_reading_it_plainly_gives() {
    let mut spans = 0;
    let mut damaged_keys = 0;
    for seed in 10..16 {
        let mut random = Random::new(seed);
        let disk = closed(&mut random, 2000);
        for path in segments(&disk) {
            let mut bytes = disk.read_file(&path).unwrap();
            for _ in 0..random.below(5) {
                let end = bytes.len() as u64 - 208;
                let at = 128 + random.below(end - 128);
                bytes[at as usize] ^= 1 << random.below(8);
            }
            disk.overwrite_file(&path, &bytes).unwrap();
        }
        let mut truth = Truth::of(&disk);
        let count = truth.keys.len() as u64;
        // Damage makes keys that nobody has put.
        let known: BTreeSet<_> = (0..2000).map(key).collect();
        truth.keys.retain(|key, _| known.contains(key));
        spans += truth.damaged_spans;
        damaged_keys += truth
            .keys
            .values()
            .filter(|(_, _, damaged)| *damaged)
            .count();
        for background_threads in [0, 1] {
            let store = open_with(
                &killed(&disk),
                &Options {
                    background_threads,
                    ..options()
                },
            );
            assert_eq!(store.count(), count);
            let found = Truth::of_store(&store, 2000);
            assert!(found == truth, "seed {seed}, {background_threads} threads");
        }
    }
    assert!(spans > 20 && damaged_keys > 5, "{spans} {damaged_keys}");
}

#[test]
fn an_image_and_a_long_tail_give_what_the_whole_log_gives() {
    for seed in 20..24 {
        let mut random = Random::new(seed);
        let disk = SimulatedDisk::new(seed);
        let with_images = Options {
            image_segments: 1000,
            ..options()
        };
        let keys = [300, 60_000][(seed % 2) as usize];
        let store = open_with(&disk, &with_images);
        work(&store, &mut random, keys, 40_000);
        store.close().unwrap();
        let store = open_with(&disk, &options());
        work(&store, &mut random, 2 * keys, 60_000);
        store.close().unwrap();
        let disk = killed(&disk);
        let truth = Truth::of(&disk);
        for (background_threads, key_storage) in
            [(0, KeyStorage::InMemory), (1, KeyStorage::OnDisk)]
        {
            let options = Options {
                background_threads,
                key_storage,
                ..options()
            };
            let store = open_with(&killed(&disk), &options);
            assert_eq!(store.stats().recovery_way, RecoveryWay::Image as u64);
            let found = Truth::of_store(&store, 2 * keys);
            assert_eq!(store.count(), truth.keys.len() as u64);
            assert!(found.keys == truth.keys, "seed {seed}");
            assert_eq!(found.dead_bytes, truth.dead_bytes, "seed {seed}");
            assert!(found.records < truth.records);
        }
    }
}

#[test]
fn opening_from_an_image_loads_nothing_however_much_was_written_since() {
    let (disk, count) = image_and_tail();
    let store = open_with(&disk, &options());
    let stats = store.stats();
    assert_eq!(stats.recovery_way, RecoveryWay::Image as u64);
    assert!(stats.recovered_records > 50_000 && stats.shards_loaded == 0);
    let shards = stats.shards_absent;
    assert!(shards > 2);
    assert_eq!(store.get(&key(3)).unwrap().unwrap(), b"newer");
    let stats = store.stats();
    assert_eq!((stats.shards_loaded, stats.shards_absent), (1, shards - 1));
    assert_eq!(store.count(), count);
    assert_eq!(store.stats().shards_absent, 0);
}

/// A killed store of some shards, an image of its older part, and the number of its keys: multiples of three are newer than the
/// image, multiples of ten were deleted since.
fn image_and_tail() -> (SimulatedDisk, u64) {
    let disk = SimulatedDisk::new(31);
    let large = Options {
        segment_size: 8 << 20,
        ..options()
    };
    let with_image = Options {
        image_segments: 1000,
        ..large.clone()
    };
    let store = open_with(&disk, &with_image);
    for number in 0..100_000 {
        store.put(&key(number), b"older").unwrap();
    }
    store.close().unwrap();
    let store = open_with(&disk, &large);
    for number in (0..250_000).step_by(3) {
        store.put(&key(number), b"newer").unwrap();
    }
    for number in (0..100_000).step_by(10) {
        assert!(store.delete(&key(number)).unwrap());
    }
    let count = store.count();
    (killed(&disk), count)
}

#[test]
fn nobody_sees_a_shard_before_its_part_of_the_tail_has_been_worked_in() {
    let (disk, count) = image_and_tail();
    for background_threads in [0, 1] {
        let disk = killed(&disk);
        let store = open_with(
            &disk,
            &Options {
                background_threads,
                ..options()
            },
        );
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let store = &store;
                scope.spawn(move || {
                    for step in 0..25_000 {
                        let number = (step * 37 + thread * 7919) % 100_000;
                        let expected: Option<&[u8]> = match (number % 10, number % 3) {
                            (0, _) => None,
                            (_, 0) => Some(b"newer"),
                            _ => Some(b"older"),
                        };
                        assert_eq!(store.get(&key(number)).unwrap().as_deref(), expected);
                        if thread == 0 && number % 10 == 5 {
                            // Goes on top of what waits.
                            let same = expected.unwrap();
                            store.put(&key(number), same).unwrap();
                        }
                    }
                });
            }
        });
        assert_eq!(store.count(), count);
        assert_eq!(store.stats().shards_rebuilt, 0);
    }
}

#[test]
fn a_tail_too_long_to_be_kept_is_worked_in_at_once() {
    let disk = SimulatedDisk::new(32);
    let large = Options {
        segment_size: 64 << 20,
        ..options()
    };
    let with_image = Options {
        image_segments: 1000,
        ..large.clone()
    };
    let long = |number: u64| [number.to_le_bytes().to_vec(), vec![7; 60_000]].concat();
    let store = open_with(&disk, &with_image);
    for number in 0..100 {
        store.put(&long(number), b"older").unwrap();
    }
    store.close().unwrap();
    let store = open_with(&disk, &large);
    for number in 50..1150 {
        store.put(&long(number), b"newer").unwrap();
    }
    for number in (0..1150).step_by(4) {
        assert!(store.delete(&long(number)).unwrap());
    }
    for background_threads in [0, 1] {
        let options = Options {
            background_threads,
            ..large.clone()
        };
        let store = open_with(&killed(&disk), &options);
        let stats = store.stats();
        assert_eq!(stats.recovery_way, RecoveryWay::Image as u64);
        assert_eq!(stats.shards_absent, 0);
        for number in 0..1150 {
            let expected: Option<&[u8]> = match number {
                _ if number % 4 == 0 => None,
                0..50 => Some(b"older"),
                _ => Some(b"newer"),
            };
            assert_eq!(store.get(&long(number)).unwrap().as_deref(), expected);
        }
        assert_eq!(store.count(), 1150 - 288);
    }
}

#[test]
fn an_index_filled_from_the_log_is_hardly_larger_than_one_that_grew() {
    // Once the footers tell the number of keys, once everything is in a segment that was not closed.
    for segment_size in [64 << 10, 64 << 20] {
        let options = Options {
            segment_size,
            ..options()
        };
        let disk = SimulatedDisk::new(33);
        let store = open_with(&disk, &options);
        for round in 0..6 {
            for number in 0..20_000 {
                store.put(&key(number), &[round]).unwrap();
            }
        }
        let grown = store.stats();
        let is_one = grown.segments == 1;
        assert_eq!(is_one, segment_size == 64 << 20, "else this tests less");
        let store = open_with(&killed(&disk), &options);
        let filled = store.stats();
        assert_eq!(
            (filled.keys, filled.key_bytes),
            (grown.keys, grown.key_bytes)
        );
        let bytes = |stats: &freyja::store::Stats| stats.index_bytes + stats.slab_allocated_bytes;
        // Tables grow by an eighth and may be filled to 90 or to 97 per cent when that is over.
        assert!(
            bytes(&filled) <= bytes(&grown) * 5 / 4,
            "{} grown, {} filled",
            bytes(&grown),
            bytes(&filled)
        );
    }
}

/// A closed store of some 300 keys with values of 3000 bytes, without an image.
fn with_hints() -> SimulatedDisk {
    let disk = SimulatedDisk::new(41);
    let store = open_with(&disk, &options());
    for number in 0..400 {
        let value = vec![number as u8; 3000];
        store.put(&key(number % 350), &value).unwrap();
        if number % 8 == 7 {
            assert!(store.delete(&key((number - 3) % 350)).unwrap());
        }
    }
    store.close().unwrap();
    killed(&disk)
}

/// Where the hints of the segment `path` are.
fn hints(disk: &SimulatedDisk, path: &Path) -> std::ops::Range<usize> {
    match Segment::open(disk, path, ReadMode::Pread).unwrap() {
        OpenedSegment::Sealed { footer, .. } => {
            footer.records_end() as usize..footer.offset as usize
        }
        _ => panic!("the segment is sealed"),
    }
}

#[test]
fn segments_of_large_values_are_brought_back_from_their_hints() {
    let disk = with_hints();
    let truth = Truth::of(&disk);
    let count = segments(&disk).len() as u64;
    assert!(count > 10);
    for background_threads in [0, 1] {
        let disk = killed(&disk);
        let options = Options {
            background_threads,
            read_mode: ReadMode::Pread,
            ..options()
        };
        disk.start_trace();
        let store = open_with(&disk, &options);
        let read: u64 = disk
            .take_trace()
            .iter()
            .filter(|call| call.operation == Operation::Read)
            .map(|call| call.length)
            .sum();
        let stats = store.stats();
        assert_eq!(stats.segments_from_hints, count);
        assert_eq!((stats.segments_scanned, stats.hints_unusable), (0, 0));
        assert!(
            read * 20 < stats.disk_bytes,
            "{read} of {}",
            stats.disk_bytes
        );
        let found = Truth::of_store(&store, 350);
        assert!(found == truth, "{background_threads} threads");
    }
}

#[test]
fn damaged_hints_cost_time_and_nothing_else() {
    let disk = with_hints();
    let truth = Truth::of(&disk);
    let path = segments(&disk)[3].clone();
    let intact = disk.read_file(&path).unwrap();
    let hints = hints(&disk, &path);
    let count = segments(&disk).len() as u64;
    for position in hints.clone().step_by(3) {
        let mut bytes = intact.clone();
        bytes[position] ^= 0x20;
        let disk = killed(&disk);
        disk.overwrite_file(&path, &bytes).unwrap();
        let store = open_with(&disk, &options());
        let stats = store.stats();
        assert_eq!(stats.recovery_damaged_spans, 0, "byte {position}");
        // The padding belongs to nobody.
        if stats.hints_unusable == 0 {
            assert!(hints.end - position < 16);
            continue;
        }
        assert_eq!((stats.hints_unusable, stats.segments_scanned), (1, 1));
        assert_eq!(stats.segments_from_hints, count - 1);
        assert!(Truth::of_store(&store, 350) == truth, "byte {position}");
    }
    // As a crash leaves it that took the hints and spared the footer.
    let mut bytes = intact.clone();
    bytes[hints.clone()].fill(0);
    disk.overwrite_file(&path, &bytes).unwrap();
    let store = open_with(&disk, &options());
    assert_eq!(store.stats().recovery_damaged_spans, 0);
    assert!(Truth::of_store(&store, 350) == truth);
}

#[test]
fn a_segment_cut_within_its_hints_loses_nothing() {
    let disk = with_hints();
    let path = segments(&disk).pop().unwrap();
    let intact = disk.read_file(&path).unwrap();
    let truth = Truth::of(&disk);
    for length in (hints(&disk, &path).start..intact.len()).step_by(5) {
        let disk = killed(&disk);
        disk.overwrite_file(&path, &intact[..length]).unwrap();
        let store = open_with(&disk, &options());
        assert_eq!(store.stats().recovery_damaged_spans, 0, "{length}");
        assert!(Truth::of_store(&store, 350) == truth, "{length}");
        drop(store);
        let store = open_with(&disk, &options());
        assert!(Truth::of_store(&store, 350) == truth, "{length}, again");
    }
}

#[test]
fn damage_to_a_record_that_hints_stand_for_is_told_to_who_reads_it() {
    let disk = with_hints();
    let store = open_with(&killed(&disk), &options());
    let place = store.locate(&key(5)).unwrap().unwrap();
    let path = segments(&disk)
        .into_iter()
        .find(|path| path.ends_with(format!("{:016x}.seg", place.segment_id)))
        .unwrap();
    let mut bytes = disk.read_file(&path).unwrap();
    bytes[place.offset as usize + 1000] ^= 1;
    disk.overwrite_file(&path, &bytes).unwrap();
    let store = open_with(&disk, &options());
    assert_eq!(store.stats().recovery_damaged_spans, 0);
    let error = store.get(&key(5)).expect_err("the record is damaged");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(store.failure().is_some());
    assert_eq!(store.get(&key(7)).unwrap().unwrap().len(), 3000);
}

#[test]
fn an_image_with_segments_that_have_hints_is_used_and_the_hints_behind_it_too() {
    let disk = SimulatedDisk::new(42);
    let with_images = Options {
        image_segments: 1000,
        ..options()
    };
    for round in 0..4_u8 {
        let store = open_with(&disk, &with_images);
        for number in 0..100 {
            store.put(&key(number), &vec![round; 3000]).unwrap();
        }
        store.close().unwrap();
        let store = open_with(&disk, &options());
        for number in 50..150 {
            store.put(&key(number), &vec![round + 100; 2000]).unwrap();
        }
        store.close().unwrap();
        let disk = killed(&disk);
        let store = open_with(&disk, &options());
        let stats = store.stats();
        assert_eq!(stats.recovery_way, RecoveryWay::Image as u64);
        assert!(stats.segments_from_image > 0 && stats.segments_from_hints > 0);
        assert_eq!(stats.segments_scanned, 0);
        for number in 0..150 {
            let value = store.get(&key(number)).unwrap().unwrap();
            let expected = if number < 50 { round } else { round + 100 };
            assert_eq!(value[0], expected);
        }
    }
}

/// A killed store, nothing of which was ever synced but what segments need: `count` keys in several segments.
fn unproven(count: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::new(51);
    let store = open_with(&disk, &options());
    for number in 0..count {
        store.put(&key(number), &[1; 500]).unwrap();
    }
    killed(&disk)
}

fn in_background() -> Options {
    Options {
        sync_mode: SyncMode::Always,
        background_threads: 1,
        ..options()
    }
}

#[test]
fn what_was_adopted_is_durable_before_anything_that_is_written_after_it() {
    let count = 300;
    for (seed, wait_first) in [(0, false), (1, true)] {
        let disk = unproven(count);
        disk.start_pictures();
        let store = open_with(&disk, &in_background());
        assert_eq!(store.count(), count);
        assert_eq!(store.get(&key(count - 1)).unwrap().unwrap(), [1; 500]);
        if wait_first {
            while store.stats().durable_sequence < count {
                std::thread::yield_now();
            }
            let crashed = disk.crash(Crash::PowerLoss, seed);
            assert_eq!(open_with(&crashed, &options()).count(), count);
        }
        store.put(b"new", b"value").unwrap();
        for variant in 0..8 {
            let crashed = disk.crash(Crash::PowerLoss, variant);
            let store = open_with(&crashed, &options());
            assert_eq!(store.get(b"new").unwrap().unwrap(), b"value");
            assert_eq!(store.count(), count + 1);
        }
        for number in 0..count {
            assert_eq!(store.get(&key(number)).unwrap().unwrap(), [1; 500]);
        }
        store.close().unwrap();
        for (index, picture) in disk.take_pictures() {
            for variant in 0..3 {
                let store = open_with(&picture.crash(Crash::PowerLoss, variant), &options());
                let found = store.count();
                let contiguous =
                    (0..found.min(count)).all(|number| store.exists(&key(number)).unwrap());
                let whole = found >= count || !store.exists(b"new").unwrap();
                assert!(
                    contiguous && whole,
                    "before call {index}, variant {variant}"
                );
            }
            let store = open_with(&killed(&picture), &options());
            assert!(store.count() >= count, "killed before call {index}");
        }
    }
}

#[test]
fn if_adopting_fails_the_store_is_read_and_not_written() {
    let count = 100;
    let disk = unproven(count);
    disk.fail_next(
        Operation::CreateNew,
        libc::EIO,
        Repeat::SameOperation,
        Effect::Before,
    );
    let store = open_with(&disk, &in_background());
    for _ in 0..2 {
        let error = store
            .put(b"new", b"value")
            .expect_err("nothing can be written");
        assert!(matches!(error.kind(), ErrorKind::Io | ErrorKind::Failed));
    }
    assert!(store.failure().is_some());
    for number in 0..count {
        assert_eq!(store.get(&key(number)).unwrap().unwrap(), [1; 500]);
    }
    assert!(store.close().is_err());
    disk.clear_faults();
    let store = open_with(&killed(&disk), &options());
    assert_eq!(store.count(), count);
}

#[test]
fn a_full_disk_does_not_keep_a_store_from_being_adopted() {
    let count = 100;
    let disk = unproven(count);
    disk.fail_next(
        Operation::CreateNew,
        libc::ENOSPC,
        Repeat::Once,
        Effect::Before,
    );
    let store = open_with(&disk, &in_background());
    // Adopted in place while others read.
    for _ in 0..20 {
        for number in 0..count {
            assert_eq!(store.get(&key(number)).unwrap().unwrap(), [1; 500]);
        }
    }
    store.put(b"new", b"value").unwrap();
    let crashed = disk.crash(Crash::PowerLoss, 1);
    assert_eq!(open_with(&crashed, &options()).count(), count + 1);
}
