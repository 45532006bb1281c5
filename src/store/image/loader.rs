//! Fills in the background what no call has touched yet: first the shards, then the keys that belong into memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::error::Result;
use crate::log::record::Kind;
use crate::log::{Event, Scanner};
use crate::memory::epoch;
use crate::store::live_segment::LiveSegment;
use crate::store::{Shared, thread};

/// A running thread that loads absent shards and missing keys; dropping it stops and joins it.
pub struct Loader {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Loader {
    /// Starts the thread for `shared`.
    pub fn start(shared: Arc<Shared>) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::start("freyja-loader", {
            let stop = stop.clone();
            // What fails here fails again for whoever needs it, who hears of it.
            move || {
                let go_on = || !stop.load(Ordering::Acquire);
                let _ = shared.index.make_all_present(go_on);
                supply_keys(&shared, &go_on);
            }
        })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // Nothing that a panic of it could leave half done is in use after this.
            let _ = thread.join();
        }
    }
}

/// Brings the keys of an index that was opened from an image into memory, reading the log once, in the order in which it lies
/// on the disk. Keys written meanwhile bring themselves.
fn supply_keys(shared: &Shared, go_on: &impl Fn() -> bool) {
    for live in shared.segments.members().unwrap_or_default() {
        if !go_on() || shared.index.missing_keys() == 0 {
            return;
        }
        if live.is_recovered() {
            // What cannot be read stays on the disk, where it is looked for when it is needed.
            let _ = supply_keys_of(shared, &live, go_on);
        }
    }
}

fn supply_keys_of(shared: &Shared, live: &LiveSegment, go_on: &impl Fn() -> bool) -> Result<()> {
    let mut scanner = Scanner::new(&live.segment)?;
    while go_on() {
        match scanner.next_event()? {
            Event::Record(record) if record.kind == Kind::Put => {
                let location = live.location(record.offset)?;
                let hash = shared.index.hash(record.key);
                let guard = epoch::pin();
                // Compaction may have removed the segment, and its locations may mean other records by now.
                let here = shared.segments.find(location, &guard);
                if here.is_none_or(|here| here.segment.id() != live.segment.id()) {
                    return Ok(());
                }
                shared.index.make_present(&guard, hash)?;
                shared
                    .index
                    .supply_key(&guard, hash, record.key, location)?;
            }
            Event::End(_) => return Ok(()),
            _ => {}
        }
    }
    Ok(())
}
