//! Writes the golden stores: on a simulated disk, so that every byte is the same each time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use freyja::store::{Batch, Options, ReadMode, Store, SyncMode};
use freyja::vfs::Vfs;
use freyja::vfs::simulated::{Crash, SimulatedDisk};

const STORE: &str = "/store";
/// When the pairs cease to exist that expire: long ago, and in a future that no test meets.
const PAST: u64 = 1_000_000_000_000;
const FUTURE: u64 = 95_000_000_000_000;

/// A store and what is in it.
pub struct Golden {
    /// What is special about it.
    pub name: &'static str,
    /// Its files but for `LOCK`, by name.
    pub files: BTreeMap<String, Vec<u8>>,
    /// What it answers: a line for each key, as [`Model::text`] writes it.
    pub expected: String,
}

/// Writes them all.
pub fn write_all() -> Vec<Golden> {
    vec![
        closed(),
        with_image(),
        killed(),
        torn(),
        torn_batch(),
        with_hints(),
        expiring(),
        compacted(),
    ]
}

/// What a store should hold: `None` for keys that are gone.
#[derive(Default)]
struct Model(BTreeMap<Vec<u8>, Option<(Vec<u8>, u64)>>);

impl Model {
    /// Key, tab, value, and for a pair that expires another tab and when; the key alone if it must be absent. Bytes but printable ASCII
    /// characters are written as `\xHH`.
    fn text(&self) -> String {
        let mut text = String::new();
        for (key, pair) in &self.0 {
            text += &escaped(key);
            if let Some((value, expires_at_ms)) = pair {
                text += "\t";
                text += &escaped(value);
                if *expires_at_ms > 0 {
                    write!(text, "\t{expires_at_ms}").unwrap();
                }
            }
            text.push('\n');
        }
        text
    }
}

fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b'\\' => text += r"\\",
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => write!(text, r"\x{byte:02x}").unwrap(),
        }
    }
    text
}

/// A store that is being written, with what it should hold.
struct Writing {
    disk: SimulatedDisk,
    store: Store,
    model: Model,
}

fn options() -> Options {
    Options {
        sync_mode: SyncMode::Always,
        read_mode: ReadMode::Pread,
        background_threads: 0,
        segment_size: 4096,
        image_segments: 0,
        ..Options::default()
    }
}

impl Writing {
    /// `number` makes the store's identity and salts its own.
    fn begin(number: u64, options: &Options) -> Self {
        let disk = SimulatedDisk::new(number);
        disk.set_wall_clock_ms(PAST - 1000);
        let store = Store::open_on(Arc::new(disk.clone()), Path::new(STORE), options).unwrap();
        Self {
            disk,
            store,
            model: Model::default(),
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.put_expiring(key, value, 0);
    }

    fn put_expiring(&mut self, key: &[u8], value: &[u8], expires_at_ms: u64) {
        self.store.put_expiring(key, value, expires_at_ms).unwrap();
        let pair = Some((value.to_vec(), expires_at_ms));
        self.model.0.insert(key.to_vec(), pair);
    }

    fn delete(&mut self, key: &[u8]) {
        assert!(self.store.delete(key).unwrap());
        self.model.0.insert(key.to_vec(), None);
    }

    /// Puts and deletes of all kinds, several on most keys, `rounds` times.
    fn mixture(&mut self, rounds: u32) {
        for round in 0..rounds {
            for number in 0..12_u32 {
                let key = format!("key {number}");
                let value = format!("value {round} of {key}").repeat(1 + number as usize);
                self.put(key.as_bytes(), value.as_bytes());
            }
            self.delete(format!("key {}", round % 12).as_bytes());
        }
        self.put(b"", b"the empty key");
        self.put(b"empty value", b"");
        let all: Vec<u8> = (0..=255).collect();
        self.put(b"all\x00bytes\xff", &all);
        self.put(&all, b"of all bytes");
        self.put(&[b'k'; 300], b"of a long key");
    }

    fn close(self, name: &'static str) -> Golden {
        self.store.close().unwrap();
        self.finish(name, |_| ())
    }

    /// The store as its process leaves it now, after `damage` to the disk.
    fn finish(self, name: &'static str, damage: impl FnOnce(&SimulatedDisk)) -> Golden {
        let disk = self.disk.crash(Crash::ProcessKill, 1);
        damage(&disk);
        let entries = disk.list(Path::new(STORE)).unwrap();
        let names = entries.into_iter().map(|it| it.name.into_string().unwrap());
        let files = names
            .filter(|name| name != "LOCK")
            .map(|name| {
                let bytes = disk.read_file(&Path::new(STORE).join(&name)).unwrap();
                (name, bytes)
            })
            .collect();
        Golden {
            name,
            files,
            expected: self.model.text(),
        }
    }
}

fn closed() -> Golden {
    let mut writing = Writing::begin(1, &options());
    writing.mixture(4);
    writing.close("closed")
}

fn with_image() -> Golden {
    let with_image = Options {
        image_segments: 1,
        ..options()
    };
    let mut writing = Writing::begin(2, &with_image);
    writing.mixture(2);
    writing.close("image")
}

fn killed() -> Golden {
    let relaxed = Options {
        sync_mode: SyncMode::None,
        ..options()
    };
    let mut writing = Writing::begin(3, &relaxed);
    writing.mixture(2);
    writing.store.sync().unwrap();
    writing.put(b"unsynced", b"but written");
    writing.finish("killed", |_| ())
}

/// Overwrites the second half of the record of `key` with noise.
fn tear(writing: &Writing, key: &[u8]) -> impl FnOnce(&SimulatedDisk) + use<> {
    let location = writing.store.locate(key).unwrap().unwrap();
    move |disk| {
        let path = Path::new(STORE).join(format!("{:016x}.seg", location.segment_id));
        let mut bytes = disk.read_file(&path).unwrap();
        let (start, end) = (location.offset, location.offset + location.length);
        bytes[((start + end) / 2) as usize..end as usize].fill(0xa5);
        disk.overwrite_file(&path, &bytes).unwrap();
    }
}

fn torn() -> Golden {
    let relaxed = Options {
        sync_mode: SyncMode::None,
        ..options()
    };
    let mut writing = Writing::begin(4, &relaxed);
    writing.mixture(1);
    writing.store.sync().unwrap();
    writing.put(b"before the tear", b"unsynced, and whole");
    writing.store.put(b"torn", &[b't'; 100]).unwrap();
    // What comes after does not count, though it is whole.
    writing.store.put(b"behind the tear", b"lost").unwrap();
    for gone in [&b"torn"[..], b"behind the tear"] {
        writing.model.0.insert(gone.to_vec(), None);
    }
    let tear = tear(&writing, b"torn");
    writing.finish("torn", tear)
}

fn torn_batch() -> Golden {
    let relaxed = Options {
        sync_mode: SyncMode::None,
        ..options()
    };
    let mut writing = Writing::begin(5, &relaxed);
    writing.put(b"first", b"gone by the batch");
    writing.put(b"stays", b"whatever becomes of the second batch");
    let mut batch = Batch::new();
    batch.delete(b"first").unwrap();
    writing.model.0.insert(b"first".to_vec(), None);
    for number in 0..10 {
        let (key, value) = (format!("batch {number}"), format!("value {number}"));
        batch.put(key.as_bytes(), value.as_bytes()).unwrap();
        let pair = Some((value.into_bytes(), 0));
        writing.model.0.insert(key.into_bytes(), pair);
    }
    writing.store.write(&batch).unwrap();
    writing.store.sync().unwrap();
    batch.clear();
    batch.put(b"batch 0", b"torn").unwrap();
    batch.delete(b"stays").unwrap();
    batch.put(b"new", b"torn").unwrap();
    batch.put(b"last of the batch", &[b'l'; 100]).unwrap();
    writing.store.write(&batch).unwrap();
    for gone in [&b"new"[..], b"last of the batch"] {
        writing.model.0.insert(gone.to_vec(), None);
    }
    let tear = tear(&writing, b"last of the batch");
    writing.finish("torn_batch", tear)
}

fn with_hints() -> Golden {
    let large = Options {
        segment_size: 8192,
        ..options()
    };
    let mut writing = Writing::begin(6, &large);
    for number in 0..7_u8 {
        let key = format!("large {number}");
        writing.put(key.as_bytes(), &[b'a' + number; 1200]);
    }
    writing.delete(b"large 3");
    writing.put(b"large 4", b"now small");
    writing.close("hints")
}

fn expiring() -> Golden {
    let mut writing = Writing::begin(7, &options());
    writing.put(b"for ever", b"never expires");
    writing.put_expiring(b"future", b"expires late", FUTURE);
    writing.put(b"past", b"hidden by an expired version");
    writing.put_expiring(b"past", b"expired", PAST);
    writing.put_expiring(b"again", b"expired", PAST);
    writing.put(b"again", b"put again");
    // So that it is on record that what expired at that moment has expired.
    writing.disk.set_wall_clock_ms(PAST + 1000);
    assert_eq!(writing.store.get(b"past").unwrap(), None);
    writing.model.0.insert(b"past".to_vec(), None);
    writing.close("expiry")
}

fn compacted() -> Golden {
    let mut writing = Writing::begin(8, &options());
    writing.mixture(5);
    writing.store.compact(|_| true).unwrap();
    writing.put(b"key 1", b"after the compaction");
    writing.delete(b"key 2");
    writing.close("compacted")
}
