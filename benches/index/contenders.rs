//! What is measured: the index with either key storage, and a map with an allocation per key.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;

use freyja::Result;
use freyja::index::{Entry, Index, IndexOptions, KeyReader, KeyStorage, Location};
use freyja::memory::epoch::{self, Guard};

use crate::costs;
use crate::keys::Key;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    KeysInMemory,
    KeysOnDisk,
    Map,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::KeysInMemory, Kind::KeysOnDisk, Kind::Map];

    pub fn name(self) -> &'static str {
        match self {
            Kind::KeysInMemory => "keys-in-memory",
            Kind::KeysOnDisk => "keys-on-disk",
            Kind::Map => "map",
        }
    }

    pub fn named(name: &str) -> Option<Kind> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Keeps a number for each key.
pub trait Contender {
    /// An empty one with room for so many keys; `key` makes them out of their numbers.
    fn with_room(keys: u64, key: fn(u64) -> Key) -> Self;
    fn insert(&mut self, key: &[u8], number: u64);
    /// What a get needs: whether `number` is offered for the key.
    fn find(&self, key: &[u8], number: u64) -> bool;
    /// Whether the key is there, comparing the key itself.
    fn contains(&self, key: &[u8]) -> bool;
    fn update(&mut self, key: &[u8], number: u64);
    /// Removes a key that is there.
    fn delete(&mut self, key: &[u8]);
    /// Where its bytes are, if it knows.
    fn costs(&self) -> Option<[f64; costs::TITLES.len()]> {
        None
    }
}

/// The records of the log, but computed: the key of each location, so that the figures are the index's own.
struct Records {
    key: fn(u64) -> Key,
}

impl Records {
    fn key_at(&self, location: Location) -> Key {
        (self.key)(location.raw() / RECORD_UNITS - 1)
    }
}

impl KeyReader for Records {
    fn matches(&self, _: &Guard, location: Location, wanted: &[u8]) -> Result<bool> {
        Ok(self.key_at(location) == wanted)
    }

    fn read(&self, _: &Guard, location: Location, into: &mut Vec<u8>) -> Result<()> {
        into.clear();
        into.extend_from_slice(&self.key_at(location));
        Ok(())
    }
}

/// Does what a store's thread does for its index, until the process ends.
fn make_memory_ahead(index: &Arc<Index>) {
    let weak = Arc::downgrade(index);
    let maker = thread::spawn(move || {
        while let Some(index) = weak.upgrade() {
            index.prepare_memory();
            drop(index);
            thread::park();
        }
    });
    let maker = maker.thread().clone();
    index.ask_before_growth(move || maker.unpark());
}

/// Freyja's index, its keys where [`KeyStorage`] says.
pub struct Packed<const ON_DISK: bool>(Arc<Index>);

pub type KeysInMemory = Packed<false>;
pub type KeysOnDisk = Packed<true>;

impl<const ON_DISK: bool> Contender for Packed<ON_DISK> {
    fn with_room(expected_keys: u64, key: fn(u64) -> Key) -> Self {
        let options = IndexOptions {
            seed: 42,
            slab_page_bytes: 4096,
            expected_keys,
            key_storage: match ON_DISK {
                false => KeyStorage::InMemory,
                true => KeyStorage::OnDisk,
            },
        };
        let index = Index::new(&options, Arc::new(Records { key }));
        let index = Arc::new(index.expect("the options are valid"));
        make_memory_ahead(&index);
        Self(index)
    }

    fn insert(&mut self, key: &[u8], number: u64) {
        let guard = epoch::pin();
        let place = place(number);
        let entry = self.0.entry(&guard, self.0.hash(key), key, place.bits());
        match entry.expect("memory suffices") {
            Entry::Occupied(entry) => entry.replace(place),
            Entry::Vacant(entry) => entry.insert(place),
        }
    }

    /// Bucket and tag alone, without the record in the log that a get reads next.
    fn find(&self, key: &[u8], number: u64) -> bool {
        let found = self.0.find(&epoch::pin(), self.0.hash(key), |location| {
            (location == place(number)).then_some(())
        });
        found.is_some()
    }

    fn contains(&self, key: &[u8]) -> bool {
        let contains = self.0.contains(&epoch::pin(), self.0.hash(key), key);
        contains.expect("every key can be read")
    }

    fn update(&mut self, key: &[u8], number: u64) {
        self.insert(key, number);
    }

    fn delete(&mut self, key: &[u8]) {
        let guard = epoch::pin();
        let entry = self.0.occupied(&guard, self.0.hash(key), key);
        let entry = entry.expect("every key can be read");
        entry.expect("the key is there").remove();
    }

    fn costs(&self) -> Option<[f64; costs::TITLES.len()]> {
        Some(costs::of(&self.0.statistics()))
    }
}

/// Records of 128 bytes, one behind the other.
const RECORD_UNITS: u64 = 8;

fn place(number: u64) -> Location {
    Location::new((number + 1) * RECORD_UNITS).expect("so large a log is possible")
}

pub type Map = HashMap<Box<[u8]>, u64>;

impl Contender for Map {
    fn with_room(keys: u64, _: fn(u64) -> Key) -> Map {
        Map::with_capacity(keys as usize)
    }

    fn insert(&mut self, key: &[u8], number: u64) {
        Map::insert(self, Box::from(key), number);
    }

    fn find(&self, key: &[u8], number: u64) -> bool {
        self.get(key) == Some(&number)
    }

    fn contains(&self, key: &[u8]) -> bool {
        self.contains_key(key)
    }

    fn update(&mut self, key: &[u8], number: u64) {
        *self.get_mut(key).expect("the key is there") = number;
    }

    fn delete(&mut self, key: &[u8]) {
        self.remove(key).expect("the key is there");
    }
}
