//! Random calls beside a plain model of what is readable and what is durable.

use super::*;
use std::collections::BTreeMap;

const NAMES: [&str; 4] = ["/a", "/b", "/c", "/d"];

#[derive(Clone, Default)]
struct ModelFile {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// For each byte below the durable length: has it been written, or cut off, since the last sync?
    touched: Vec<bool>,
}

impl ModelFile {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        self.now.resize(end.max(self.now.len()), 0);
        self.now[offset..end].copy_from_slice(bytes);
        self.touch(offset, end);
    }

    fn set_length(&mut self, length: usize) {
        self.touch(length, self.now.len());
        self.now.resize(length, 0);
    }

    fn touch(&mut self, start: usize, end: usize) {
        let known = self.touched.len();
        let end = end.min(known);
        self.touched[start.min(end)..end].fill(true);
    }

    fn sync(&mut self) {
        self.durable = self.now.clone();
        self.touched = vec![false; self.durable.len()];
    }
}

/// Files by number; names now and durably.
#[derive(Clone, Default)]
struct Model {
    files: Vec<ModelFile>,
    names: BTreeMap<&'static str, usize>,
    durable_names: BTreeMap<&'static str, usize>,
}

impl Model {
    fn readable(&self) -> BTreeMap<&'static str, Vec<u8>> {
        let file =
            |(name, number): (&&'static str, &usize)| (*name, self.files[*number].now.clone());
        self.names.iter().map(file).collect()
    }

    fn durable(&self) -> BTreeMap<&'static str, Vec<u8>> {
        let file =
            |(name, number): (&&'static str, &usize)| (*name, self.files[*number].durable.clone());
        self.durable_names.iter().map(file).collect()
    }
}

fn files(disk: &SimulatedDisk) -> BTreeMap<&'static str, Vec<u8>> {
    let file = |name: &&'static str| Some((*name, content(disk, name)?));
    NAMES.iter().filter_map(file).collect()
}

/// One random call on a random name, on the disk and on the model.
fn step(disk: &SimulatedDisk, model: &mut Model, random: &mut Random) {
    let name = NAMES[random.below(4) as usize];
    let path = Path::new(name);
    let Some(number) = model.names.get(name).copied() else {
        disk.create_new(path).unwrap();
        model.names.insert(name, model.files.len());
        model.files.push(ModelFile::default());
        return;
    };
    let model_file = &mut model.files[number];
    let file = || disk.open(path, Access::Write).unwrap();
    let mut bytes = vec![0; random.below(1500) as usize];
    random.fill(&mut bytes);
    let offset = random.below(3000) as usize;
    match random.below(12) {
        0..4 => {
            file().write_all_at(&bytes, offset as u64).unwrap();
            if !bytes.is_empty() {
                model_file.write(offset, &bytes);
            }
        }
        4 => {
            file().set_len(offset as u64).unwrap();
            model_file.set_length(offset);
        }
        5 => {
            file().allocate(offset as u64).unwrap();
            model_file.set_length(offset.max(model_file.now.len()));
        }
        6 => {
            // Appends through a mapping.
            let file = file();
            let start = model_file.now.len();
            let end = start + bytes.len();
            file.allocate(end as u64).unwrap();
            let (mapping, mut writer) = file.map_append(start, end + offset).unwrap();
            writer.set_limit(end);
            let (left, right) = bytes.split_at(bytes.len() / 3);
            writer.write(start, &[left, right]).unwrap();
            writer.publish(end);
            assert_eq!(mapping.bytes(start, bytes.len()), Some(&bytes[..]));
            model_file.write(start, &bytes);
        }
        7 | 8 => {
            file().sync().unwrap();
            model_file.sync();
        }
        9 => {
            disk.remove(path).unwrap();
            model.names.remove(name);
        }
        10 => {
            let to = NAMES[random.below(4) as usize];
            disk.rename(path, Path::new(to)).unwrap();
            model.names.remove(name);
            model.names.insert(to, number);
        }
        _ => {
            disk.sync_directory(Path::new("/")).unwrap();
            model.durable_names = model.names.clone();
        }
    }
}

fn for_random_histories(histories: u64, mut check: impl FnMut(&SimulatedDisk, &Model, u64)) {
    for seed in 0..if cfg!(miri) { 1 } else { histories } {
        let mut random = Random::new(seed);
        let disk = SimulatedDisk::new(seed);
        let mut model = Model::default();
        for _ in 0..if cfg!(miri) { 8 } else { 40 } {
            step(&disk, &mut model, &mut random);
            check(&disk, &model, seed);
        }
    }
}

#[test]
fn files_read_as_they_were_written() {
    for_random_histories(200, |disk, model, seed| {
        assert_eq!(files(disk), model.readable(), "seed {seed}");
    });
}

#[test]
fn a_killed_process_loses_nothing_and_makes_nothing_durable() {
    for_random_histories(100, |disk, model, seed| {
        let killed = disk.crash(Crash::ProcessKill, seed);
        assert_eq!(files(&killed), model.readable(), "seed {seed}");
        assert_eq!(killed.unsynced(), disk.unsynced(), "seed {seed}");
        let lost = killed.power_loss(&mut Uniform(SectorFate::Old), seed);
        assert_eq!(files(&lost), model.durable(), "seed {seed}");
    });
}

#[test]
fn a_power_loss_that_keeps_nothing_leaves_what_was_synced() {
    for_random_histories(100, |disk, model, seed| {
        let lost = disk.power_loss(&mut Uniform(SectorFate::Old), seed);
        assert_eq!(files(&lost), model.durable(), "seed {seed}");
        assert_eq!(lost.unsynced(), Unsynced::default(), "seed {seed}");
    });
}

#[test]
fn a_power_loss_that_keeps_everything_leaves_what_was_written() {
    for_random_histories(100, |disk, model, seed| {
        let kept = disk.power_loss(&mut Uniform(SectorFate::New), seed);
        assert_eq!(files(&kept), model.readable(), "seed {seed}");
        let again = kept.power_loss(&mut Uniform(SectorFate::Old), seed);
        assert_eq!(files(&again), model.readable(), "seed {seed}");
    });
}

#[test]
fn no_power_loss_changes_bytes_that_were_synced_and_not_written_since() {
    for_random_histories(100, |disk, model, seed| {
        let crashed = disk.crash(Crash::PowerLoss, seed);
        for (name, number) in &model.durable_names {
            if model.names.get(name) != Some(number) {
                continue; // the name itself may have changed hands
            }
            let file = &model.files[*number];
            let bytes = content(&crashed, name).unwrap();
            assert!(bytes.len() >= file.durable.len().min(file.now.len()));
            for (at, byte) in bytes.iter().enumerate().take(file.durable.len()) {
                let same = *byte == file.durable[at] || file.touched[at];
                assert!(same, "{name} byte {at} seed {seed}");
            }
        }
    });
}

#[test]
fn the_same_seed_gives_the_same_crash() {
    for_random_histories(30, |disk, _, seed| {
        let crash = || files(&disk.crash(Crash::PowerLoss, seed));
        assert_eq!(crash(), crash(), "seed {seed}");
    });
}

#[test]
fn a_crash_changes_nothing_on_the_disk_it_is_a_copy_of() {
    for_random_histories(30, |disk, model, seed| {
        let copy = disk.crash(Crash::PowerLoss, seed);
        for name in NAMES {
            if let Ok(file) = copy.open(Path::new(name), Access::Write) {
                file.write_all_at(&[0xee; 600], 100).unwrap();
                file.sync().unwrap();
            }
        }
        assert_eq!(files(disk), model.readable(), "seed {seed}");
        let lost = disk.power_loss(&mut Uniform(SectorFate::Old), seed);
        assert_eq!(files(&lost), model.durable(), "seed {seed}");
    });
}
