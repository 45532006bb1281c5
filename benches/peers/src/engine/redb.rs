//! redb, a crate.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::{
    Database, Durability as Commit, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition,
};

use super::{Durability, Engine, Kind, Opened, Opening, Pair, Session};

/// redb.
pub const KIND: Kind = Kind {
    name: "redb",
    options: "a crate, linked with link-time optimisation; one transaction a put, one read transaction until the next put; cache of twice the raw bytes (256 MiB to 4 GiB); \
              synced: Durability::Immediate, else Durability::None, of which a kill loses everything",
    open,
    answers: true,
    is_store: true,
    has_more: false,
};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("pairs");

type Table = ReadOnlyTable<&'static [u8], &'static [u8]>;

struct Redb {
    database: Database,
    commit: Commit,
    /// How many transactions have been committed: what a reader began before does not show the latest.
    commits: AtomicU64,
}

struct RedbSession<'e> {
    engine: &'e Redb,
    /// What is read, and the number of commits that it shows.
    table: Option<(Table, u64)>,
}

fn open(directory: &Path, opening: &Opening) -> Opened {
    std::fs::create_dir_all(directory).expect("the directory can be made");
    let mut builder = Database::builder();
    builder.set_cache_size(opening.cache_bytes() as usize);
    let database = builder.create(directory.join("store.redb"));
    let database = database.expect("redb opens");
    let engine = Redb {
        database,
        commit: match opening.durability {
            Durability::Synced => Commit::Immediate,
            Durability::Cached => Commit::None,
        },
        commits: AtomicU64::new(0),
    };
    // So that there is a table.
    engine.put(std::iter::empty());
    Ok(Box::new(engine))
}

impl Redb {
    /// Puts what `pairs` gives in a transaction of its own.
    fn put<'p>(&self, pairs: impl Iterator<Item = (&'p [u8], &'p [u8])>) {
        let mut transaction = self.database.begin_write().expect("redb begins");
        let chosen = transaction.set_durability(self.commit);
        chosen.expect("there is no savepoint");
        let mut table = transaction.open_table(TABLE).expect("redb has a table");
        for (key, value) in pairs {
            table.insert(key, value).expect("redb inserts");
        }
        drop(table);
        transaction.commit().expect("redb commits");
        self.commits.fetch_add(1, Ordering::Release);
    }
}

impl Engine for Redb {
    fn session(&self) -> Box<dyn Session + '_> {
        Box::new(RedbSession {
            engine: self,
            table: None,
        })
    }

    fn version(&self) -> String {
        "4.5.0".to_owned()
    }

    fn close(self: Box<Self>) {
        self.database.close().expect("redb closes");
    }
}

impl RedbSession<'_> {
    /// A table that shows all that has been committed.
    fn table(&mut self) -> &Table {
        let commits = self.engine.commits.load(Ordering::Acquire);
        if self.table.as_ref().is_none_or(|(_, seen)| *seen != commits) {
            let transaction = self.engine.database.begin_read().expect("redb begins");
            let table = transaction.open_table(TABLE).expect("redb has a table");
            self.table = Some((table, commits));
        }
        &self.table.as_ref().expect("it has just been opened").0
    }
}

impl Session for RedbSession<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        // What it holds could not be used again by the file.
        self.table = None;
        self.engine.put(std::iter::once((key, value)));
    }

    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> bool {
        let value = self.table().get(key).expect("redb gets");
        value.map(|value| see(value.value())).is_some()
    }

    fn scan(&mut self, see: &mut dyn FnMut(&[u8], &[u8])) {
        for pair in self.table().iter().expect("redb iterates") {
            let (key, value) = pair.expect("redb goes on");
            see(key.value(), value.value());
        }
    }

    fn put_many(&mut self, pairs: &[Pair<'_>]) -> bool {
        self.table = None;
        let pairs = pairs.iter();
        self.engine
            .put(pairs.map(|(key, value)| (&key[..], *value)));
        true
    }
}
