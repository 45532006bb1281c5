//! A store under random operations, compactions among them, is a map.

use std::collections::BTreeMap;

use freyja::store::{Batch, KeyStorage, Options, ReadMode, Store};
use freyja::vfs::simulated::{Crash, SimulatedDisk};

use crate::random::Random;
use crate::{compact, key, open_with, options};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

struct Run {
    random: Random,
    options: Options,
    disk: SimulatedDisk,
    store: Store,
    map: Map,
    kills: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let options = Options {
            key_storage: random.one_of(&[KeyStorage::InMemory, KeyStorage::OnDisk]),
            read_mode: random.one_of(&[ReadMode::Mapped, ReadMode::Pread]),
            image_segments: random.below(2) as u32,
            ..options()
        };
        let disk = SimulatedDisk::new(seed);
        let store = open_with(&disk, &options);
        Self {
            random,
            options,
            disk,
            store,
            map: Map::new(),
            kills: 0,
        }
    }

    fn value(&mut self) -> Vec<u8> {
        let length = self.random.one_of(&[0, 10, 100, 1000, 5000]);
        vec![self.random.next() as u8; length]
    }

    fn key(&mut self) -> Vec<u8> {
        key(self.random.below(60))
    }

    fn step(&mut self) {
        match self.random.below(40) {
            0..=17 => {
                let (key, value) = (self.key(), self.value());
                self.store.put(&key, &value).unwrap();
                self.map.insert(key, value);
            }
            18..=29 => {
                let key = self.key();
                let was_there = self.map.remove(&key).is_some();
                assert_eq!(self.store.delete(&key).unwrap(), was_there);
            }
            30..=32 => self.batch(),
            33 => compact(&self.store),
            34..=35 => {
                self.store.maintain().unwrap();
            }
            36 => {
                self.store.close().unwrap();
                self.open_again(self.disk.clone());
            }
            37 => {
                self.kills += 1;
                let seed = self.kills << 32;
                self.open_again(self.disk.crash(Crash::ProcessKill, seed));
            }
            _ => self.check(),
        }
    }

    fn batch(&mut self) {
        let mut batch = Batch::new();
        for _ in 0..self.random.below(6) {
            let key = self.key();
            if self.random.below(3) == 0 {
                batch.delete(&key).unwrap();
                self.map.remove(&key);
            } else {
                let value = self.value();
                batch.put(&key, &value).unwrap();
                self.map.insert(key, value);
            }
        }
        self.store.write(&batch).unwrap();
    }

    fn open_again(&mut self, disk: SimulatedDisk) {
        // What the old store does when it is dropped must not reach the new one's disk.
        self.disk
            .stop_at(self.disk.calls(), freyja::vfs::simulated::Effect::Before);
        let left = disk.crash(Crash::ProcessKill, self.kills << 32 | 1 << 20);
        self.store = open_with(&left, &self.options);
        self.disk = left;
        self.check();
    }

    fn check(&self) {
        assert_eq!(self.store.count(), self.map.len() as u64);
        for number in 0..60 {
            let key = key(number);
            assert_eq!(self.store.get(&key).unwrap().as_ref(), self.map.get(&key));
            assert_eq!(
                self.store.exists(&key).unwrap(),
                self.map.contains_key(&key)
            );
        }
        assert!(self.store.failure().is_none());
    }
}

#[test]
fn a_store_that_is_compacted_at_random_moments_is_a_map() {
    let seeds = match std::env::var("FREYJA_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (1..=30).collect(),
    };
    for seed in seeds {
        println!("FREYJA_SEED={seed}");
        let mut run = Run::new(seed);
        for _ in 0..600 {
            run.step();
        }
        run.check();
    }
}
