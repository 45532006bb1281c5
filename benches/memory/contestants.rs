//! What is measured: the store, and the hash map that somebody would keep instead of its index.

use std::collections::HashMap;
use std::path::Path;

use freyja::store::{KeyStorage, Options, Store, SyncMode};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    KeysInMemory,
    KeysOnDisk,
    HashMap,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::KeysInMemory, Kind::KeysOnDisk, Kind::HashMap];

    pub fn name(self) -> &'static str {
        match self {
            Kind::KeysInMemory => "keys-in-memory",
            Kind::KeysOnDisk => "keys-on-disk",
            Kind::HashMap => "hash-map",
        }
    }

    pub fn named(name: &str) -> Option<Kind> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What to call it in a table.
    pub fn title(self) -> &'static str {
        match self {
            Kind::KeysInMemory => "Freyja",
            Kind::KeysOnDisk => "Freyja, keys on disk",
            Kind::HashMap => "HashMap",
        }
    }

    /// Whether what it takes includes the bytes of the keys.
    pub fn keeps_keys_in_memory(self) -> bool {
        self != Kind::KeysOnDisk
    }

    /// Why it cannot be measured, if it is not supported yet, as the store itself says.
    pub fn refusal(self, directory: &Path) -> Option<String> {
        let trial = Freyja::open(&directory.join("trial"), self.key_storage()?);
        let error = trial.err()?;
        assert_eq!(error.kind(), freyja::ErrorKind::Unsupported, "{error}");
        Some(error.to_string())
    }

    pub fn key_storage(self) -> Option<KeyStorage> {
        match self {
            Kind::KeysInMemory => Some(KeyStorage::InMemory),
            Kind::KeysOnDisk => Some(KeyStorage::OnDisk),
            Kind::HashMap => None,
        }
    }
}

/// What a contestant says of its own memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// All of it.
    pub memory: u64,
    /// The slabs of key bytes.
    pub slab_allocated: u64,
    /// What of the slabs no key takes.
    pub slab_wasted: u64,
}

/// A contestant keeps for each key something that follows from the key's number and its version.
pub trait Contestant {
    fn put(&mut self, key: &[u8], number: u64, version: u64);
    fn delete(&mut self, key: &[u8]);
    /// Whether the key is there with what was put for this version.
    fn holds(&self, key: &[u8], number: u64, version: u64) -> bool;
    fn keys(&self) -> u64;
    fn counters(&self) -> Option<Counters>;
}

/// The store through its Rust interface, with the default options but for syncs.
pub struct Freyja {
    store: Store,
}

impl Freyja {
    pub fn open(directory: &Path, key_storage: KeyStorage) -> freyja::Result<Freyja> {
        let options = Options {
            sync_mode: SyncMode::None,
            key_storage,
            ..Options::default()
        };
        Store::open(directory, &options).map(|store| Freyja { store })
    }
}

/// The value of a key: eight bytes, so that the disk does not dominate.
fn value(number: u64, version: u64) -> [u8; 8] {
    (number << 8 | version).to_le_bytes()
}

impl Contestant for Freyja {
    fn put(&mut self, key: &[u8], number: u64, version: u64) {
        let put = self.store.put(key, &value(number, version));
        put.expect("the key can be put");
    }

    fn delete(&mut self, key: &[u8]) {
        let deleted = self.store.delete(key);
        assert!(deleted.expect("the key can be deleted"), "it was there");
    }

    fn holds(&self, key: &[u8], number: u64, version: u64) -> bool {
        let expected = value(number, version);
        let found = self.store.get_with(key, |found| found == expected);
        found.expect("the key can be read") == Some(true)
    }

    fn keys(&self) -> u64 {
        self.store.count()
    }

    fn counters(&self) -> Option<Counters> {
        let stats = self.store.stats();
        Some(Counters {
            memory: stats.memory_used_bytes,
            slab_allocated: stats.slab_allocated_bytes,
            slab_wasted: stats.slab_wasted_bytes,
        })
    }
}

/// The place of a record as a plain index keeps it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry {
    segment_id: u64,
    offset: u64,
    size: u32,
    flags: u32,
    version: u64,
}

const _: () = assert!(size_of::<Entry>() == 32);

impl Entry {
    fn new(number: u64, version: u64) -> Entry {
        Entry {
            segment_id: number >> 20,
            offset: number << 5,
            size: 8,
            flags: 0,
            version,
        }
    }
}

/// `HashMap<Box<[u8]>, Entry>` of the standard library, with its default hash and the system's allocator.
#[derive(Default)]
pub struct PlainMap {
    entries: HashMap<Box<[u8]>, Entry>,
}

impl Contestant for PlainMap {
    fn put(&mut self, key: &[u8], number: u64, version: u64) {
        let entry = Entry::new(number, version);
        match self.entries.get_mut(key) {
            Some(known) => *known = entry,
            None => {
                self.entries.insert(key.into(), entry);
            }
        }
    }

    fn delete(&mut self, key: &[u8]) {
        assert!(self.entries.remove(key).is_some(), "it was there");
    }

    fn holds(&self, key: &[u8], number: u64, version: u64) -> bool {
        self.entries.get(key) == Some(&Entry::new(number, version))
    }

    fn keys(&self) -> u64 {
        self.entries.len() as u64
    }

    fn counters(&self) -> Option<Counters> {
        None
    }
}
