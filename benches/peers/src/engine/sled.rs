//! sled, a crate.

use std::path::Path;

use sled::{Batch, Config, Db, Mode};

use super::{Absent, Durability, Engine, Kind, Opened, Opening, Pair, Session};

/// sled.
pub const KIND: Kind = Kind {
    name: "sled",
    options: "a crate, linked with link-time optimisation; its last release that is no alpha; HighThroughput, cache of twice the raw bytes (256 MiB to 4 GiB); \
              what is put goes to the system every 500 ms, and a kill loses what came after; on Linux its flush calls sync_file_range, which does not make a disk write what it has, so it has no durable puts",
    open,
    answers: true,
    is_store: true,
    has_more: false,
};

struct Sled(Db);

fn open(directory: &Path, opening: &Opening) -> Opened {
    if opening.durability == Durability::Synced {
        let why = "its flush calls sync_file_range, which does not help against power loss";
        return Err(Absent(why.to_owned()));
    }
    let config = Config::new()
        .path(directory)
        .mode(Mode::HighThroughput)
        .cache_capacity(opening.cache_bytes());
    Ok(Box::new(Sled(config.open().expect("sled opens"))))
}

impl Engine for Sled {
    fn session(&self) -> Box<dyn Session + '_> {
        Box::new(self)
    }

    fn version(&self) -> String {
        "0.34.7".to_owned()
    }

    fn close(self: Box<Self>) {
        self.0.flush().expect("sled flushes");
    }
}

impl Session for &Sled {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.0.insert(key, value).expect("sled inserts");
    }

    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> bool {
        let value = self.0.get(key).expect("sled gets");
        value.map(|value| see(&value)).is_some()
    }

    fn scan(&mut self, see: &mut dyn FnMut(&[u8], &[u8])) {
        for pair in self.0.iter() {
            let (key, value) = pair.expect("sled goes on");
            see(&key, &value);
        }
    }

    fn put_many(&mut self, pairs: &[Pair<'_>]) -> bool {
        let mut batch = Batch::default();
        for (key, value) in pairs {
            batch.insert(&key[..], *value);
        }
        self.0.apply_batch(batch).expect("sled writes");
        true
    }
}
