//! Images of the index are written, and segments merged, while the store is written to. What is read after a kill has to be right
//! nevertheless, at whatever moment of the one the other happened.

#[path = "support/observed_disk.rs"]
mod observed_disk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use freyja::store::{Batch, Compaction, KeyStorage, Options, RecoveryWay, Store, SyncMode};
use freyja::vfs::Vfs;
use freyja::vfs::simulated::{Crash, SimulatedDisk};
use observed_disk::{Call, ObservedDisk};

const STORE: &str = "/store";

/// Longer than any write takes that does not wait for what the disk is asked for meanwhile.
const PATIENCE: Duration = Duration::from_millis(200);

type Deed = Box<dyn FnOnce() + Send>;

/// What is done, in a thread of its own, when the disk is asked for something for the `left`-th time.
#[derive(Default)]
struct Plan {
    /// Whether calls count only from the beginning of an image on.
    waits_for_image: bool,
    left: usize,
    deed: Option<Deed>,
    doing: Option<JoinHandle<()>>,
}

/// A simulated disk that does something when it is asked for something.
struct BusyDisk {
    disk: ObservedDisk,
    plan: Arc<Mutex<Plan>>,
}

impl BusyDisk {
    fn new() -> Self {
        let plan = Arc::<Mutex<Plan>>::default();
        let disk = ObservedDisk::new({
            let plan = plan.clone();
            move |call| called(&plan, &call)
        });
        Self { disk, plan }
    }

    fn open_with(&self, options: &Options) -> Store {
        Store::open_on(Arc::new(self.disk.clone()), Path::new(STORE), options).unwrap()
    }

    /// Does `deed` at call number `left` from now on, or, if it `waits_for_image`, from the next image's beginning on.
    fn plan(&self, waits_for_image: bool, left: usize, deed: impl FnOnce() + Send + 'static) {
        *self.plan.lock().unwrap() = Plan {
            waits_for_image,
            left,
            deed: Some(Box::new(deed)),
            doing: None,
        };
    }

    /// Waits for the deed; answers whether it was done.
    fn end(&self) -> bool {
        let mut plan = self.plan.lock().unwrap();
        let was_done = plan.deed.take().is_none();
        let doing = plan.doing.take();
        drop(plan);
        doing.into_iter().for_each(|it| it.join().unwrap());
        was_done
    }
}

fn called(plan: &Mutex<Plan>, call: &Call<'_>) {
    let mut plan = plan.lock().unwrap();
    match call {
        Call::Create(path) if path.to_string_lossy().contains("index-") => {
            plan.waits_for_image = false;
        }
        Call::Close(_) => return,
        _ => {}
    }
    if plan.waits_for_image || plan.deed.is_none() {
        return;
    }
    if plan.left > 0 {
        plan.left -= 1;
        return;
    }
    let deed = plan.deed.take().unwrap();
    let (done, is_done) = channel();
    plan.doing = Some(std::thread::spawn(move || {
        deed();
        let _ = done.send(());
    }));
    drop(plan);
    // It may have to wait for whoever asks the disk.
    let _ = is_done.recv_timeout(PATIENCE);
}

fn options(image_segments: u32, key_storage: KeyStorage, crash: Crash) -> Options {
    Options {
        key_storage,
        sync_mode: match crash {
            Crash::ProcessKill => SyncMode::None,
            Crash::PowerLoss => SyncMode::Always,
        },
        background_threads: 0,
        segment_size: 16 << 10,
        compaction: Compaction::Manual,
        image_segments,
        ..Options::default()
    }
}

fn open(disk: &SimulatedDisk) -> Store {
    let options = options(0, KeyStorage::InMemory, Crash::ProcessKill);
    Store::open_on(Arc::new(disk.clone()), Path::new(STORE), &options).unwrap()
}

/// Removes all that is a cache only.
fn remove_images(disk: &SimulatedDisk) {
    let entries = disk.list(Path::new(STORE)).unwrap();
    let paths = entries.iter().map(|it| Path::new(STORE).join(&it.name));
    let is_cache = |path: &PathBuf| path.to_string_lossy().contains("index-");
    for path in paths.filter(is_cache) {
        disk.remove_file(&path).unwrap();
    }
}

/// Puts that nobody overwrites, until the store has written an image.
fn fill_until_image(store: &Store, name: &str) {
    let before = store.stats().images_written;
    for number in 0.. {
        store
            .put(format!("{name} {number}").as_bytes(), &[1; 100])
            .unwrap();
        if store.stats().images_written > before {
            return;
        }
    }
}

/// A put died after the dead of its segment had been counted for an image, but before the image came to its key. After a kill
/// nobody counted it, so its tombstone went before it, and it was there again when the whole log was read.
#[test]
fn what_is_overwritten_while_an_image_is_written_and_then_deleted_stays_deleted() {
    let disk = BusyDisk::new();
    let options = options(1, KeyStorage::InMemory, Crash::ProcessKill);
    let store = Arc::new(disk.open_with(&options));
    store.put(b"victim", b"first").unwrap();
    disk.plan(true, 0, {
        let store = store.clone();
        move || store.put(b"victim", b"second").unwrap()
    });
    fill_until_image(&store, "filling");
    assert!(disk.end());

    let killed = disk.disk.simulated.crash(Crash::ProcessKill, 0);
    let store = open(&killed);
    assert_eq!(store.get(b"victim").unwrap().unwrap()[..], b"second"[..]);
    let stats = store.stats();
    assert_eq!(stats.recovery_way, RecoveryWay::Image as u64);
    assert_eq!((stats.shards_absent, stats.dead_puts), (0, 1));
    assert!(store.delete(b"victim").unwrap());
    merge_behind_the_first(&store);
    store.close().unwrap();
    remove_images(&killed);
    assert_eq!(open(&killed).get(b"victim").unwrap(), None);
}

/// Puts garbage beside what was written last, so that its segment is worth a merge, and merges.
fn merge_behind_the_first(store: &Store) {
    for _ in 0..300 {
        store.put(b"overwritten", &[2; 100]).unwrap();
    }
    let before = store.stats().compactions;
    store.compact(|_| true).unwrap();
    assert!(store.stats().compactions > before);
}

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

fn key(number: u64) -> Vec<u8> {
    format!("key {number:03}").into_bytes()
}

/// What a store holds besides what fills it.
fn pairs(store: &Store) -> Pairs {
    let found = (0..60).map(|number| (key(number), store.get(&key(number)).unwrap()));
    found
        .filter_map(|(key, value)| Some((key, value?.to_vec())))
        .collect()
}

/// What is done beside: the keys below 30 are in the first segment, those above in later ones, and the last is not there.
const DEEDS: [fn(&Store); 6] = [
    |store| store.put(&key(1), b"overwritten").unwrap(),
    |store| store.put(&key(31), b"overwritten").unwrap(),
    |store| store.put(&key(59), b"new").unwrap(),
    |store| assert!(store.delete(&key(2)).unwrap()),
    |store| {
        store.put(&key(3), b"overwritten, and deleted").unwrap();
        assert!(store.delete(&key(3)).unwrap());
    },
    |store| {
        let mut batch = Batch::default();
        batch.put(&key(4), b"in a batch").unwrap();
        batch.delete(&key(32)).unwrap();
        batch.put(&key(4), b"in a batch, again").unwrap();
        store.write(&batch).unwrap();
    },
];

/// What the store does while something is done beside.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Work {
    Image,
    Merge,
}

/// Does `deed` at call number `call` of `work`, lets `crash` happen, at once or at the end, and looks whether all is as it should be then,
/// and stays so when much was deleted, merged, and read from the log. Answers through how many merges the image was followed; `None` if
/// the work took fewer calls.
fn survives(
    work: Work,
    call: usize,
    deed: fn(&Store),
    key_storage: KeyStorage,
    crash: Crash,
) -> Option<u64> {
    let disk = BusyDisk::new();
    let open_with =
        |image_segments| Arc::new(disk.open_with(&options(image_segments, key_storage, crash)));
    let store = open_with(1);
    (0..30).for_each(|number| store.put(&key(number), &[1; 200]).unwrap());
    fill_until_image(&store, "first");
    (30..59).for_each(|number| store.put(&key(number), &[1; 200]).unwrap());
    (5..10).for_each(|number| assert!(store.delete(&key(number)).unwrap()));
    fill_until_image(&store, "second");
    (10..50).for_each(|number| store.put(&key(number), b"newer").unwrap());
    let store = match work {
        Work::Image => store,
        // The image is to stay older than the merge.
        Work::Merge => {
            store.close().unwrap();
            open_with(1000)
        }
    };

    // As it is when the deed is done and the work is not.
    let at_once = Arc::new(Mutex::new(None));
    let deed = {
        let (store, disk, at_once) = (store.clone(), disk.disk.simulated.clone(), at_once.clone());
        move || {
            deed(&store);
            let killed = disk.crash(crash, call as u64);
            *at_once.lock().unwrap() = Some((killed, pairs(&store)));
        }
    };
    disk.plan(work == Work::Image, call, deed);
    match work {
        Work::Image => fill_until_image(&store, "third"),
        Work::Merge => store.compact(|_| true).unwrap(),
    }
    if !disk.end() {
        return None;
    }
    let what = format!("{work:?}, call {call}, {key_storage:?}");
    let at_end = disk.disk.simulated.crash(crash, call as u64);
    let at_end = (at_end, pairs(&store));
    let at_once = at_once.lock().unwrap().take().unwrap();
    let kills = [(at_once, "at once"), (at_end, "at the end")];
    let followed = kills.map(|((killed, expected), when)| {
        is_right_after_crash(&killed, expected, &format!("{what}, {crash:?} {when}"))
    });
    Some(followed.iter().sum())
}

/// Answers through how many merges the image was followed.
fn is_right_after_crash(crashed: &SimulatedDisk, expected: Pairs, what: &str) -> u64 {
    let from_log = crashed.crash(Crash::ProcessKill, 0);
    remove_images(&from_log);
    let (store, from_log) = (open(crashed), open(&from_log));
    assert_eq!(pairs(&store), expected, "{what}: from the image");
    assert_eq!(pairs(&from_log), expected, "{what}: from the log");
    let merges_followed = store.stats().merges_followed;
    let dead_puts = [&store, &from_log].map(|it| it.stats().dead_puts);
    assert!(dead_puts[0] >= dead_puts[1], "{what}: {dead_puts:?}");

    for number in 0..20 {
        store.delete(&key(number)).unwrap();
    }
    let expected = pairs(&store);
    merge_behind_the_first(&store);
    assert_eq!(pairs(&store), expected, "{what}: after a merge");
    store.close().unwrap();
    remove_images(crashed);
    assert_eq!(pairs(&open(crashed)), expected, "{what}: back again");
    merges_followed
}

/// Does everything at every moment; answers through how many merges images were followed in all.
fn survive_everywhere(work: Work, crash: Crash) -> u64 {
    let (mut moments, mut merges_followed) = (0, 0);
    for key_storage in [KeyStorage::InMemory, KeyStorage::OnDisk] {
        for deed in DEEDS {
            let followed: Vec<u64> = (0..)
                .map_while(|call| survives(work, call, deed, key_storage, crash))
                .collect();
            assert!(followed.len() >= 5);
            moments += followed.len();
            merges_followed += followed.iter().sum::<u64>();
        }
    }
    println!("{work:?}, {crash:?}: {moments} moments, {merges_followed} merges followed");
    merges_followed
}

#[test]
fn whatever_is_written_beside_an_image_is_there_after_a_kill_and_what_is_deleted_stays_so() {
    survive_everywhere(Work::Image, Crash::ProcessKill);
}

#[test]
fn whatever_is_written_beside_a_merge_is_there_after_a_kill_and_what_is_deleted_stays_so() {
    assert!(survive_everywhere(Work::Merge, Crash::ProcessKill) > 0);
}

#[test]
fn whatever_is_durable_beside_an_image_is_there_after_a_power_loss_and_what_is_deleted_stays_so() {
    survive_everywhere(Work::Image, Crash::PowerLoss);
}

#[test]
fn whatever_is_durable_beside_a_merge_is_there_after_a_power_loss_and_what_is_deleted_stays_so() {
    assert!(survive_everywhere(Work::Merge, Crash::PowerLoss) > 0);
}
