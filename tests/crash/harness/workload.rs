//! Runs operations on a store and keeps the books about what each of them promised.

use std::path::Path;
use std::time::Duration;

use freyja::ErrorKind;
use freyja::store::{Batch, Store, SyncMode};
use freyja::vfs::Vfs;
use freyja::vfs::simulated::{Crash, Effect, Operation as DiskOperation, Repeat, SimulatedDisk};

use super::examination::content;
use super::history::{History, Map, Promises, State, Stored, readable};
use super::operation::{Operation, Value, key};
use super::setting::Setting;
use super::{STORE, Told, crash_seed, expect, open};
use crate::random::Random;

/// What the wall clock of a new simulated disk says.
const BEGINNING_MS: u64 = 1_700_000_000_000;

/// A store with a workload under way.
pub struct Workload {
    setting: Setting,
    disk: SimulatedDisk,
    /// Of the disk.
    seed: u64,
    /// Absent only while it is opened.
    store: Option<Store>,
    state: State,
    history: History,
    /// Number of operations so far, opening included.
    step: usize,
    /// The state up to which everything is durable.
    durable: usize,
    /// When everything was synced last, by the disk's clock.
    last_sync: Duration,
    /// Whether pictures are kept.
    recording: bool,
}

impl Workload {
    /// Opens a store on a new disk. Keeps pictures if `recording`.
    pub fn new(setting: Setting, seed: u64, recording: bool) -> Told<Self> {
        let disk = SimulatedDisk::new(seed);
        Self::begin(setting, disk, seed, State::new(), recording)
    }

    /// Opens the store on a copy of `disk`, which has `state` in it, durable all of it.
    pub fn go_on(
        setting: Setting,
        disk: &SimulatedDisk,
        state: State,
        recording: bool,
    ) -> Told<Self> {
        let seed = 1 << 40;
        let disk = disk.crash(Crash::ProcessKill, crash_seed(seed, 0));
        Self::begin(setting, disk, seed, state, recording)
    }

    fn begin(
        setting: Setting,
        disk: SimulatedDisk,
        seed: u64,
        state: State,
        recording: bool,
    ) -> Told<Self> {
        setting.prepare(&disk);
        let mut workload = Self {
            setting,
            disk,
            seed,
            store: None,
            state: state.clone(),
            history: History::new(state),
            step: 0,
            durable: 0,
            last_sync: Duration::ZERO,
            recording,
        };
        workload.watch_disk();
        workload.open()?;
        workload.add_pictures(workload.promises());
        Ok(workload)
    }

    /// Whether pictures of the operations to come are kept.
    pub fn record(&mut self, recording: bool) {
        self.recording = recording;
        self.watch_disk();
    }

    /// Runs one operation.
    pub fn run(&mut self, operation: Operation) -> Told<()> {
        self.step += 1;
        let what = format!("step {} ({operation:?})", self.step);
        self.attempt(operation)
            .map_err(|error| format!("{what}: {error}"))
    }

    /// The end: what happened, and the disk, with everything durable and the store closed.
    pub fn finish(mut self) -> Told<(History, SimulatedDisk)> {
        self.step += 1;
        let promises = self.promises();
        self.store()?.close().map_err(|error| error.to_string())?;
        self.add_pictures(promises);
        let left = self.killed();
        Ok((self.history, left))
    }

    fn attempt(&mut self, operation: Operation) -> Told<()> {
        let before = self.promises();
        match operation {
            Operation::Put(number, value) => {
                let (key, value) = (key(number), self.value(number, value)?);
                let put = self.store()?.put(&key, &value);
                put.map_err(|error| error.to_string())?;
                self.store_in_state(&key, &value, None);
                self.written();
            }
            Operation::PutExpiring(number, moment) => {
                let (key, value) = (key(number), self.value(number, Value::Small)?);
                let moment = BEGINNING_MS + moment;
                let put = self.store()?.put_expiring(&key, &value, moment);
                put.map_err(|error| error.to_string())?;
                self.store_in_state(&key, &value, Some(moment));
                self.written();
            }
            Operation::Delete(number) => {
                let key = key(number);
                let before = self.store()?.stats().last_sequence;
                let deleted = self.store()?.delete(&key);
                let deleted = deleted.map_err(|error| error.to_string())?;
                let was_there = self.readable().contains_key(&key);
                let was_stored = self.state.remove(&key).is_some();
                expect(deleted == was_there, || {
                    format!("answered {deleted}, it was there: {was_there}")
                })?;
                if self.store()?.stats().last_sequence > before {
                    self.written();
                } else if was_stored {
                    // It had expired, and compaction has let go of it: there is nothing to write, and so nothing to sync.
                    expect(!was_there, || "deleted without a write".into())?;
                    self.history.states.push(self.state.clone());
                }
            }
            Operation::Batch(number) => {
                let batch = self.batch(number)?;
                let written = self.store()?.write(&batch);
                written.map_err(|error| error.to_string())?;
                for operation in batch.operations() {
                    match operation.value {
                        Some(value) => {
                            self.store_in_state(operation.key, value, operation.expires_at_ms);
                        }
                        None => {
                            self.state.remove(operation.key);
                        }
                    }
                }
                if !batch.is_empty() {
                    self.written();
                }
            }
            Operation::Sync => {
                self.store()?.sync().map_err(|error| error.to_string())?;
                self.all_is_durable();
            }
            Operation::Wait => self.disk.advance_clock(Duration::from_millis(10)),
            Operation::Reopen => {
                self.store()?.close().map_err(|error| error.to_string())?;
                self.store = None;
                self.open()?;
            }
            Operation::Kill => {
                let disk = self.killed();
                self.move_to(disk, before);
                self.open()?;
            }
            Operation::FailedSync(caches_drop) => self.failed_sync(caches_drop)?,
            Operation::Compact => {
                let compacted = self.store()?.compact(|_| true);
                compacted.map_err(|error| error.to_string())?;
                self.unchanged("compacting")?;
                self.may_have_synced()?;
            }
            Operation::Maintain => {
                let maintained = self.store()?.maintain();
                maintained.map_err(|error| error.to_string())?;
                self.unchanged("maintenance")?;
                self.may_have_synced()?;
            }
        }
        if self.setting.prepares {
            self.store()?.prepare_segment();
        }
        self.add_pictures(Promises {
            newest: self.history.states.len() - 1,
            ..before
        });
        Ok(())
    }

    /// What was done has changed nothing that can be seen.
    fn unchanged(&self, what: &str) -> Told<()> {
        let found = content(self.store()?)?;
        expect(found == self.readable(), || {
            format!("{what} changed what is found")
        })
    }

    /// If the store says that everything is durable, it is, and the next interval may have begun now.
    fn may_have_synced(&mut self) -> Told<()> {
        let stats = self.store()?.stats();
        if stats.durable_sequence == stats.last_sequence {
            self.all_is_durable();
        }
        Ok(())
    }

    /// A put was acknowledged, or a delete.
    fn written(&mut self) {
        self.history.states.push(self.state.clone());
        let now = self.disk.monotonic();
        let is_due = now - self.last_sync >= Duration::from_millis(5);
        match self.setting.sync_mode {
            SyncMode::Always => self.all_is_durable(),
            SyncMode::Interval if is_due => self.all_is_durable(),
            _ => {}
        }
    }

    fn all_is_durable(&mut self) {
        self.durable = self.history.states.len() - 1;
        self.last_sync = self.disk.monotonic();
    }

    fn promises(&self) -> Promises {
        let newest = self.history.states.len() - 1;
        Promises {
            durable: self.durable,
            acknowledged: newest,
            newest,
        }
    }

    /// A put meets a sync that fails; what came of it shows when the store is opened again.
    fn failed_sync(&mut self, caches_drop: bool) -> Told<()> {
        let before = self.promises();
        let (key, value) = (key(2), self.value(2, Value::Small)?);
        self.disk
            .fail_next(DiskOperation::Sync, libc::EIO, Repeat::Once, Effect::Before);
        let put = self.store()?.put(&key, &value);
        self.store_in_state(&key, &value, None);
        self.history.states.push(self.state.clone());
        let mut after = Promises {
            newest: before.newest + 1,
            ..before
        };
        let sync = self.store()?.sync();
        if put.is_ok() {
            after.acknowledged = after.newest;
            if self.setting.sync_mode == SyncMode::Always || sync.is_ok() {
                after.durable = after.newest;
            }
        }
        if put.is_err() || sync.is_err() {
            // Nothing that is written now could be relied on.
            let refused = self.store()?.put(b"refused", b"").map_err(|it| it.kind());
            expect(refused == Err(ErrorKind::Failed), || {
                format!("after a failed sync a put answered {refused:?}")
            })?;
            let mut expected = self.readable();
            let mut found = content(self.store()?)?;
            expected.remove(&key);
            found.remove(&key);
            expect(found == expected, || "a failed sync changed reads".into())?;
        }
        self.add_pictures(Promises {
            newest: before.newest + 1,
            ..before
        });
        // The pages are clean by now, as the system sees it, and it may forget them.
        let disk = self.killed();
        if caches_drop {
            disk.drop_caches();
            after.acknowledged = after.durable;
        }
        self.move_to(disk, after);
        let store = open(&self.disk, &self.setting.options(), "after a failed sync")?;
        let found = content(&store)?;
        let allowed = &self.history.states[after.acknowledged..=after.newest];
        let now = self.disk.wall_clock_ms();
        // Of states that look the same now, the one that looks the same later counts as many keys, but for expired ones that
        // compaction has let go.
        let mut same = allowed.iter().rev().filter(|state| {
            let counts = found.len()..=state.len();
            readable(state, now) == found && counts.contains(&(store.count() as usize))
        });
        let state = same
            .next()
            .cloned()
            .ok_or_else(|| format!("after a failed sync none of the states {after:?} is found"))?;
        self.add_pictures(after);
        self.store = Some(store);
        self.state = state;
        self.history.states.push(self.state.clone());
        self.all_is_durable();
        Ok(())
    }

    /// The disk as the next process finds it when this one dies now.
    fn killed(&self) -> SimulatedDisk {
        let seed = crash_seed(self.seed, self.step as u64);
        self.disk.crash(Crash::ProcessKill, seed)
    }

    /// The process dies, and the next one finds `disk`.
    fn move_to(&mut self, disk: SimulatedDisk, promises: Promises) {
        self.add_pictures(promises);
        // What the dead process would still do in its destructors has no effect.
        self.disk.stop_at(self.disk.calls(), Effect::Before);
        self.store = None;
        self.disk = disk;
        self.watch_disk();
    }

    /// Opens the store; everything that was acknowledged is there, and is durable from now on.
    fn open(&mut self) -> Told<()> {
        let store = open(&self.disk, &self.setting.options(), "the store")?;
        let found = content(&store)?;
        expect(found == self.readable(), || {
            "an acknowledged operation was lost without a power loss".into()
        })?;
        self.store = Some(store);
        self.all_is_durable();
        Ok(())
    }

    fn store_in_state(&mut self, key: &[u8], value: &[u8], expires_at_ms: Option<u64>) {
        let stored = Stored {
            value: value.to_vec(),
            expires_at_ms,
        };
        self.state.insert(key.to_vec(), stored);
    }

    /// What the store should show now.
    fn readable(&self) -> Map {
        readable(&self.state, self.disk.wall_clock_ms())
    }

    fn store(&self) -> Told<&Store> {
        self.store.as_ref().ok_or_else(|| "not open".into())
    }

    fn watch_disk(&self) {
        if self.recording {
            self.disk.start_trace();
            self.disk.start_pictures();
        }
    }

    fn add_pictures(&mut self, promises: Promises) {
        if self.recording {
            self.history.add_pictures(&self.disk, self.step, promises);
        }
    }

    /// A few operations, some of them on the same keys; now and then more than an ordinary segment holds.
    fn batch(&self, number: u64) -> Told<Batch> {
        let mut random = Random::new(number);
        let mut batch = Batch::new();
        for _ in 0..random.below(8) {
            let number = random.below(4) as u8;
            let added = if random.below(4) == 0 {
                batch.delete(&key(number))
            } else {
                let kinds = [Value::Empty, Value::Small, Value::Medium, Value::Filling];
                let value = self.value(number, random.one_of(&kinds))?;
                match random.below(4) {
                    0 => batch.put_expiring(&key(number), &value, BEGINNING_MS + random.below(60)),
                    _ => batch.put(&key(number), &value),
                }
            };
            added.map_err(|error| error.to_string())?;
        }
        Ok(batch)
    }

    /// A value that tells which put wrote it, as far as its kind allows.
    fn value(&self, key: u8, value: Value) -> Told<Vec<u8>> {
        let length = match value {
            Value::Empty => return Ok(Vec::new()),
            Value::Small => 8,
            Value::Medium => 900,
            Value::Filling => 3700,
            Value::Large => 6000,
            Value::Zeros => return Ok(vec![0; 40 + self.step % 1000]),
            Value::Mimicry => return self.piece_of_the_log(),
        };
        let mut bytes = vec![self.step as u8; length];
        bytes[..7].copy_from_slice(&(self.step as u64).to_le_bytes()[..7]);
        bytes[7] = key;
        Ok(bytes)
    }

    fn piece_of_the_log(&self) -> Told<Vec<u8>> {
        let directory = Path::new(STORE);
        let entries = self.disk.list(directory).map_err(|it| it.to_string())?;
        let segments = entries.iter().map(|entry| &entry.name);
        let segment = segments.filter(|name| name.to_string_lossy().ends_with(".seg"));
        let Some(name) = segment.max() else {
            return Ok(b"no log yet".to_vec());
        };
        let bytes = self.disk.read_file(&directory.join(name));
        let mut bytes = bytes.map_err(|error| error.to_string())?;
        bytes.truncate(1500);
        Ok(bytes)
    }
}
