//! Runs a scenario with a fault and judges every answer.

use std::time::Duration;

use freyja::store::{Store, SyncMode};
use freyja::vfs::simulated::{Call, Crash, Operation, SimulatedDisk};
use freyja::{Error, ErrorKind};

use crate::model::{Map, Model};
use crate::scenario::{KEYS, Scenario, Setting, Step, apply, batch, key, prepare, value};
use crate::sweep::Fault;

pub const SEED: u64 = 4;

/// What was wrong, or nothing.
pub type Told<T> = Result<T, String>;

pub struct Run<'r> {
    pub scenario: &'r Scenario,
    pub setting: Setting,
    pub fault: Option<Fault>,
}

/// Everything in a store that the scenarios could have put there, by single gets.
pub fn content(store: &Store) -> freyja::Result<Map> {
    let mut map = Map::new();
    for number in 0..KEYS {
        if let Some(value) = store.get(&key(number))? {
            map.insert(key(number), value);
        }
    }
    Ok(map)
}

fn content_at_once(store: &Store) -> freyja::Result<Map> {
    let keys: Vec<Vec<u8>> = (0..KEYS).map(key).collect();
    let slices: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let values = store.get_many(&slices)?;
    let mut map = Map::new();
    for (key, value) in keys.into_iter().zip(values) {
        if let Some(value) = value? {
            map.insert(key, value);
        }
    }
    Ok(map)
}

/// The calls of a run without a fault.
pub fn trace(run: &Run<'_>, disk: &SimulatedDisk) -> Vec<Call> {
    disk.start_trace();
    let mut state = State::new(run, disk.clone(), vec![Map::new()]);
    for (number, step) in run.scenario.steps.iter().enumerate() {
        state.perform(number, *step).expect("nothing fails");
    }
    disk.take_trace()
}

/// Runs a scenario; `Err` says which promise was broken.
pub fn run(run: &Run<'_>) -> Told<()> {
    let (disk, states) = prepare(run.setting, run.scenario.before, SEED);
    if let Some(fault) = run.fault {
        disk.fail_call(fault.call, fault.errno, fault.repeat, fault.effect);
    }
    let mut state = State::new(run, disk, states);
    state.disk.start_trace();
    for (number, step) in run.scenario.steps.iter().enumerate() {
        let told = state.step(number, *step);
        told.map_err(|wrong| format!("step {number} ({step:?}): {wrong}"))?;
    }
    state.finish()
}

struct State<'r> {
    run: &'r Run<'r>,
    disk: SimulatedDisk,
    store: Option<Store>,
    model: Model,
    /// Writing has been refused through this store.
    stopped: bool,
    /// Whether the failure of a call must have stopped all writing.
    must_stop: bool,
    /// Whether the failed call cannot have stopped it.
    must_not_stop: bool,
}

impl<'r> State<'r> {
    fn new(run: &'r Run<'r>, disk: SimulatedDisk, states: Vec<Map>) -> Self {
        Self {
            run,
            disk,
            store: None,
            model: Model::new(states),
            stopped: false,
            must_stop: false,
            must_not_stop: true,
        }
    }

    fn store(&self) -> freyja::Result<&Store> {
        self.store
            .as_ref()
            .ok_or_else(|| Error::new(ErrorKind::Closed, "not open"))
    }

    /// Does what the step says and nothing else.
    fn perform(&mut self, number: usize, step: Step) -> freyja::Result<Option<Map>> {
        match step {
            Step::Open => {
                self.store = None;
                let store = self
                    .run
                    .setting
                    .open(&self.disk, self.run.scenario.read_only)?;
                self.store = Some(store);
            }
            Step::Put(at, length) => self.store()?.put(&key(at), &value(number, length))?,
            Step::Delete(at) => {
                if !self.store()?.delete(&key(at))? {
                    return Ok(Some(Map::new())); // nothing was to be done
                }
            }
            Step::Batch(length) => self.store()?.write(&batch(number, length))?,
            Step::Read => {
                let one_by_one = content(self.store()?)?;
                let at_once = content_at_once(self.store()?)?;
                assert_eq!(one_by_one, at_once);
                return Ok(Some(one_by_one));
            }
            Step::Sync => self.store()?.sync()?,
            Step::Wait => self.disk.advance_clock(Duration::from_millis(10)),
            Step::Close => {
                let closed = self.store()?.close();
                self.store = None;
                closed?;
            }
        }
        Ok(None)
    }

    /// A step, and whether its answer is right.
    fn step(&mut self, number: usize, step: Step) -> Told<()> {
        if self.store.is_none() && step != Step::Open {
            return Ok(()); // it could not be opened
        }
        let was_stopped = self.stopped;
        let outcome = self.perform(number, step);
        let failed: Vec<Call> = self
            .disk
            .take_trace()
            .into_iter()
            .filter(|call| call.error.is_some() && !is_an_answer(call))
            .collect();
        self.note(&failed, outcome.is_err());
        if let Err(error) = &outcome {
            self.judge_error(error, step, &failed)?;
        }
        let changes = matches!(step, Step::Put(..) | Step::Delete(_) | Step::Batch(_));
        match (step, outcome) {
            (Step::Open, Ok(_)) => self.judge_opening()?,
            (Step::Open, Err(_)) => {}
            (Step::Read, Ok(found)) => {
                let found = found.expect("a read answers");
                expect(self.model.now().contains(&found), || {
                    format!("reads {}", shown(&found))
                })?;
            }
            (Step::Delete(at), Ok(Some(_))) => {
                let could_miss = |map: &Map| !map.contains_key(&key(at));
                expect(self.model.now().iter().any(could_miss), || {
                    "did not find the key".into()
                })?;
            }
            (_, Ok(_)) if changes => {
                expect(!self.stopped, || {
                    "writing goes on after it was refused".into()
                })?;
                self.model.changed(|map| apply(map, number, step));
                if self.run.setting.sync_mode == SyncMode::Always {
                    self.model.all_is_durable();
                }
            }
            // The first who hears of a stop may have been under way when it happened.
            (_, Err(error)) if changes && !(was_stopped && error.kind() == ErrorKind::Failed) => {
                self.model.perhaps_changed(|map| apply(map, number, step));
            }
            (Step::Sync | Step::Close, Ok(_)) if !self.run.scenario.read_only => {
                expect(!self.stopped, || "nothing can be synced any more".into())?;
                self.model.all_is_durable();
            }
            _ => {}
        }
        if step == Step::Close {
            self.begin_again();
        }
        Ok(())
    }

    /// What follows from the calls that failed.
    fn note(&mut self, failed: &[Call], is_told: bool) {
        for call in failed {
            let of_log = call.path.extension().is_some_and(|it| it == "seg");
            let is_sync = call.operation == Operation::Sync;
            // The header is synced under the segment's first name, before anything depends on it.
            let is_data = is_sync && of_log && self.store.is_some();
            self.must_stop |= is_data && is_told && !self.run.setting.background;
            let is_full = self
                .run
                .fault
                .is_some_and(|it| [libc::ENOSPC, libc::EDQUOT].contains(&it.errno));
            let takes_space = matches!(
                call.operation,
                Operation::Allocate | Operation::CreateNew | Operation::Write
            );
            self.must_not_stop &= is_full && takes_space;
        }
    }

    fn begin_again(&mut self) {
        self.stopped = false;
        self.must_stop = false;
        self.must_not_stop = true;
    }

    /// The error is the one of the call that failed, or says that writing was stopped by it.
    fn judge_error(&mut self, error: &Error, step: Step, failed: &[Call]) -> Told<()> {
        let errno = self.run.fault.map_or(0, |fault| fault.errno);
        let refused = error.kind() == ErrorKind::Failed;
        if refused {
            self.stopped = true;
            let first = self.store.as_ref().map(Store::failure);
            // A close takes the store away.
            let told = first.is_none_or(|first| first.is_some_and(|it| it.os_code() == errno));
            expect(told, || "refused without a failure that says why".into())?;
        }
        let is_writing = !matches!(step, Step::Open | Step::Read | Step::Wait);
        let met_now = !failed.is_empty() || self.run.setting.background;
        let is_right = match error.kind() {
            ErrorKind::Failed => is_writing,
            ErrorKind::Io | ErrorKind::Memory => error.os_code() == errno && met_now,
            _ => false,
        };
        expect(is_right, || {
            format!(
                "answers {:?}, errno {}: {error}; failed: {failed:?}",
                error.kind(),
                error.os_code()
            )
        })?;
        let named = error.message().contains("/store") || error.message().starts_with("/");
        expect(refused || named, || format!("names no file: {error}"))
    }

    /// Shows what the store holds now that it is open; reads may still fail.
    fn judge_opening(&mut self) -> Told<()> {
        let durable = !self.run.setting.background && !self.run.scenario.read_only;
        let found = match content(self.store().expect("just opened")) {
            Ok(found) => found,
            Err(error) => {
                let failed = self.disk.take_trace();
                return self.judge_error(&error, Step::Read, &failed);
            }
        };
        self.disk.take_trace();
        expect(self.model.now().contains(&found), || {
            format!("opened with {}", shown(&found))
        })?;
        self.model.found(found, durable);
        Ok(())
    }

    /// The faults are over.
    fn finish(mut self) -> Told<()> {
        self.disk.clear_faults();
        if self.store.is_some() {
            self.judge_the_open_store()?;
        }
        let after_power_loss = self.model.after_power_loss();
        for seed in 0..2 {
            let lost = self.disk.crash(Crash::PowerLoss, seed);
            let found = self.reopened(&lost)?;
            expect(after_power_loss.contains(&found), || {
                format!("after a power loss holds {}", shown(&found))
            })?;
        }
        self.store = None;
        let found = self.reopened(&self.disk)?;
        expect(self.model.now().contains(&found), || {
            format!("opened again holds {}", shown(&found))
        })?;
        if self.run.scenario.read_only {
            return Ok(());
        }
        // What an open has shown stays, even if the system forgets what it could not write.
        self.disk.drop_caches();
        for crash in [Crash::ProcessKill, Crash::PowerLoss] {
            let again = self.reopened(&self.disk.crash(crash, 9))?;
            expect(again == found, || {
                format!("after {crash:?} {} was no longer there", shown(&found))
            })?;
        }
        Ok(())
    }

    /// Reads work, writes as far as they may, and the close tells.
    fn judge_the_open_store(&mut self) -> Told<()> {
        let store = self.store.as_ref().expect("asked for");
        let read =
            content(store).map_err(|error| format!("a read fails after the fault: {error}"))?;
        expect(self.model.now().contains(&read), || {
            format!("reads {} after the fault", shown(&read))
        })?;
        if self.run.scenario.read_only {
            return store.close().map_err(|error| error.to_string());
        }
        let put = store.put(&key(5), b"after");
        match &put {
            Ok(()) => {
                expect(!self.stopped && !self.must_stop, || {
                    "writing goes on after a failed sync".into()
                })?;
                self.model.changed(|map| {
                    map.insert(key(5), b"after".to_vec());
                });
            }
            Err(error) => {
                let refused = error.kind() == ErrorKind::Failed;
                expect(refused, || format!("a put after the fault fails: {error}"))?;
                expect(!self.must_not_stop, || {
                    "there is space again, but writing is refused".into()
                })?;
                let errno = self.run.fault.map_or(0, |fault| fault.errno);
                let first = store.failure().map(|first| first.os_code());
                expect(first == Some(errno), || {
                    format!("the first failure is {first:?}")
                })?;
            }
        }
        let closed = store.close();
        expect(closed.is_ok() == put.is_ok(), || {
            format!("the put was {put:?}, the close {closed:?}")
        })?;
        if closed.is_ok() {
            self.model.all_is_durable();
        }
        Ok(())
    }

    /// What the store on `disk` holds; writes as well if it may, and closes it.
    fn reopened(&self, disk: &SimulatedDisk) -> Told<Map> {
        let opened = self.run.setting.open(disk, false);
        let store = opened.map_err(|error| format!("cannot be opened again: {error}"))?;
        let damage = store.failure();
        expect(damage.is_none(), || {
            format!("takes the fault for damage: {damage:?}")
        })?;
        let found = content(&store).map_err(|error| format!("cannot be read again: {error}"))?;
        store
            .put(b"probe", b"1")
            .and_then(|()| store.close())
            .map_err(|error| format!("cannot be written again: {error}"))?;
        Ok(found)
    }
}

/// Whether an error of the disk is an answer that the store asked for.
fn is_an_answer(call: &Call) -> bool {
    use std::io::ErrorKind::{AlreadyExists, NotFound};
    matches!(call.error, Some(AlreadyExists | NotFound))
}

pub fn expect(fulfilled: bool, complaint: impl FnOnce() -> String) -> Told<()> {
    if fulfilled { Ok(()) } else { Err(complaint()) }
}

/// Which step wrote which key, for people.
fn shown(map: &Map) -> String {
    let pairs = map.iter().map(|(key, value)| {
        let by = value.first().map_or(0, |byte| usize::from(*byte));
        format!("{}: {}x{}", key[1], by, value.len())
    });
    pairs.collect::<Vec<_>>().join(", ")
}
