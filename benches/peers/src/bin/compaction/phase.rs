//! Puts and gets at a steady rate, and what is seen from outside meanwhile.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use freyja_peers::engine::{Counters, Engine};

use crate::activity::{Activity, this_thread, written};
use crate::arguments::{Arguments, Keys};
use crate::books::{Books, Draw};
use crate::pace::Pace;
use crate::recording::Recording;

/// Length of the slots in which the store's threads are found at work or not.
pub const SLOT: Duration = Duration::from_millis(10);
/// They are if they take more processor time than this in a slot, in nanoseconds, or wait for a disk.
const AT_WORK: u64 = 200_000;
/// In so many slots space and writing are looked at once.
const SAMPLE_SLOTS: usize = 10;

/// Space and writing at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Since the phase began.
    pub seconds: f64,
    /// Puts so far.
    pub puts: u64,
    /// Bytes that the files take on the disk.
    pub disk_bytes: u64,
    /// Bytes given to the system to write so far.
    pub written: u64,
    /// What the store itself tells.
    pub counters: Option<Counters>,
}

/// All that was seen in a phase.
pub struct Seen {
    pub puts: Recording,
    pub gets: Recording,
    /// Of each slot since the beginning whether the store's threads were at work.
    pub at_work: Vec<bool>,
    pub samples: Vec<Sample>,
}

/// Puts `count` times, and gets meanwhile.
pub fn run(
    engine: &dyn Engine,
    books: &Books,
    keys: Keys,
    count: u64,
    directory: &Path,
    arguments: &Arguments,
) -> Seen {
    let began = Instant::now();
    let wrote_before = written();
    let done = AtomicBool::new(false);
    let puts_done = AtomicU64::new(0);
    let (tell, told) = mpsc::channel();
    std::thread::scope(|scope| {
        let (done, puts_done) = (&done, &puts_done);
        let tell_too = tell.clone();
        let putting = scope.spawn(move || {
            let _ = tell_too.send(this_thread());
            let ends = Ends(done);
            let puts = put(engine, books, keys, began, count, puts_done, arguments);
            drop(ends);
            puts
        });
        let getting = scope.spawn(move || {
            let _ = tell.send(this_thread());
            let ends = Ends(done);
            let gets = get(engine, books, keys, began, done, arguments);
            drop(ends);
            gets
        });
        let ours = told.iter().take(2).chain([this_thread()]).collect();
        let mut activity = Activity::besides(ours);
        let (mut at_work, mut samples) = (Vec::new(), Vec::new());
        let slots_passed = || (began.elapsed().as_micros() / SLOT.as_micros()) as usize;
        let mut next_sample = 0;
        loop {
            let ended = done.load(Ordering::Acquire);
            if at_work.len() >= next_sample || ended {
                next_sample = at_work.len() + SAMPLE_SLOTS;
                samples.push(Sample {
                    seconds: began.elapsed().as_secs_f64(),
                    puts: puts_done.load(Ordering::Relaxed),
                    disk_bytes: disk_bytes(directory),
                    written: written() - wrote_before,
                    counters: engine.counters(),
                });
            }
            if ended {
                break;
            }
            let next = began + SLOT * (slots_passed() as u32 + 1);
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            let (processor, waits) = activity.look();
            // Of slots that were slept through nothing else is known.
            at_work.resize(
                slots_passed().max(at_work.len()),
                processor > AT_WORK || waits,
            );
        }
        Seen {
            puts: putting.join().expect("puts succeed"),
            gets: getting.join().expect("gets succeed"),
            at_work,
            samples,
        }
    })
}

/// Ends the phase when dropped, also by a panic.
struct Ends<'d>(&'d AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn put(
    engine: &dyn Engine,
    books: &Books,
    keys: Keys,
    began: Instant,
    count: u64,
    puts_done: &AtomicU64,
    arguments: &Arguments,
) -> Recording {
    let mut session = engine.session();
    let mut draw = Draw::new(keys, books.count(), 1);
    let mut recording = Recording::new(began, count as usize);
    let burst = (arguments.put_bytes_per_second / arguments.pair_len() / 1000).max(1);
    let mut pace = Pace::new();
    let mut left = count;
    while left > 0 {
        pace.wait();
        recording.begin_burst();
        for _ in 0..burst.min(left) {
            books.put(draw.next(), &mut *session, |put| recording.time(put));
        }
        left -= burst.min(left);
        puts_done.store(count - left, Ordering::Relaxed);
    }
    recording
}

fn get(
    engine: &dyn Engine,
    books: &Books,
    keys: Keys,
    began: Instant,
    done: &AtomicBool,
    arguments: &Arguments,
) -> Recording {
    let mut session = engine.session();
    let mut draw = Draw::new(keys, books.count(), 2);
    let mut recording = Recording::new(began, 0);
    let mut seen = Vec::with_capacity(arguments.value_len);
    let mut pace = Pace::new();
    while !done.load(Ordering::Acquire) {
        pace.wait();
        recording.begin_burst();
        for _ in 0..arguments.gets_per_millisecond {
            let number = draw.next();
            books.get(number, &mut *session, &mut seen, |get| recording.time(get));
        }
    }
    recording
}

/// Returns when the store's threads have had nothing to do for half a second, or after half a minute.
pub fn settle() {
    let mut activity = Activity::besides(vec![this_thread()]);
    let mut quiet = 0;
    for _ in 0..300 {
        std::thread::sleep(Duration::from_millis(100));
        let (processor, waits) = activity.look();
        quiet = match processor > AT_WORK || waits {
            true => 0,
            false => quiet + 1,
        };
        if quiet == 5 {
            break;
        }
    }
}

/// Bytes that the files below `directory` take on the disk; those that vanish meanwhile take none.
fn disk_bytes(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    });
    sizes.sum()
}
