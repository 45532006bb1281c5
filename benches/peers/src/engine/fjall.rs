//! fjall, a crate.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Durability, Engine, Kind, Opened, Opening, Pair, Session};

/// fjall.
pub const KIND: Kind = Kind {
    name: "fjall",
    options: "a crate, linked with link-time optimisation; the defaults, no compression, cache of twice the raw bytes (256 MiB to 4 GiB), 2 workers; synced: PersistMode::SyncData after each put",
    open,
    answers: true,
    is_store: true,
    has_more: false,
};

struct Fjall {
    database: Database,
    pairs: Keyspace,
    durability: Durability,
}

fn open(directory: &Path, opening: &Opening) -> Opened {
    let builder = Database::builder(directory)
        .cache_size(opening.cache_bytes())
        .worker_threads(2);
    let database = builder.open().expect("fjall opens");
    let write_buffer = opening.write_buffer as u64;
    let pairs = database.keyspace("pairs", || {
        KeyspaceCreateOptions::default().max_memtable_size(write_buffer)
    });
    Ok(Box::new(Fjall {
        pairs: pairs.expect("fjall has a keyspace"),
        database,
        durability: opening.durability,
    }))
}

impl Fjall {
    fn persist(&self) {
        if self.durability == Durability::Synced {
            let synced = self.database.persist(PersistMode::SyncData);
            synced.expect("fjall syncs");
        }
    }
}

impl Engine for Fjall {
    fn session(&self) -> Box<dyn Session + '_> {
        Box::new(self)
    }

    fn version(&self) -> String {
        "3.1.13".to_owned()
    }

    fn close(self: Box<Self>) {
        // As its documentation tells: dropping it stops its threads.
        let synced = self.database.persist(PersistMode::SyncAll);
        synced.expect("fjall syncs");
    }
}

impl Session for &Fjall {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.pairs.insert(key, value).expect("fjall inserts");
        self.persist();
    }

    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> bool {
        let value = self.pairs.get(key).expect("fjall gets");
        value.map(|value| see(&value)).is_some()
    }

    fn scan(&mut self, see: &mut dyn FnMut(&[u8], &[u8])) {
        for pair in self.pairs.iter() {
            let (key, value) = pair.into_inner().expect("fjall goes on");
            see(&key, &value);
        }
    }

    fn put_many(&mut self, pairs: &[Pair<'_>]) -> bool {
        let mut batch = self.database.batch();
        for (key, value) in pairs {
            batch.insert(&self.pairs, &key[..], *value);
        }
        batch.commit().expect("fjall commits");
        self.persist();
        true
    }
}
