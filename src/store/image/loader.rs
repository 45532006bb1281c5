//! Fills in the background what no call has touched yet: first the shards, then the keys that belong into memory. Then makes
//! the index as small as it can be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::Result;
use crate::log::record::Kind;
use crate::log::{Event, Scanner};
use crate::memory::epoch;
use crate::store::contents::Contents;
use crate::store::live_segment::LiveSegment;
use crate::store::thread::Thread;

/// Starts the thread that loads absent shards and missing keys of `contents`.
pub fn start_loading(contents: Contents) -> Result<Thread> {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    // What fails here fails again for whoever needs it, who hears of it.
    let load = move || {
        let go_on = || !stopped.load(Ordering::Acquire);
        let _ = contents.index.make_all_present(go_on);
        supply_keys(&contents, &go_on);
        // Shards do not merge while others are absent.
        contents.index.trim(go_on);
    };
    Thread::start(c"freyja-loader", load, move || {
        stop.store(true, Ordering::Release);
    })
}

/// Brings the keys of an index that was opened from an image into memory, reading the log once, in the order in which it lies
/// on the disk. Keys written meanwhile bring themselves.
fn supply_keys(contents: &Contents, go_on: &impl Fn() -> bool) {
    for live in contents.segments.members().unwrap_or_default() {
        if !go_on() || contents.index.missing_keys() == 0 {
            return;
        }
        if live.is_recovered() {
            // What cannot be read stays on the disk, where it is looked for when it is needed.
            let _ = supply_keys_of(contents, &live, go_on);
        }
    }
}

fn supply_keys_of(
    contents: &Contents,
    live: &LiveSegment,
    go_on: &impl Fn() -> bool,
) -> Result<()> {
    let Contents {
        index, segments, ..
    } = contents;
    let mut scanner = Scanner::new(&live.segment)?;
    while go_on() {
        match scanner.next_event()? {
            Event::Record(record) if record.kind == Kind::Put => {
                let location = live.location(record.offset)?;
                let hash = index.hash(record.key);
                let guard = epoch::pin();
                // Compaction may have removed the segment, and its locations may mean other records by now.
                let here = segments.find(location, &guard);
                if here.is_none_or(|here| here.segment.id() != live.segment.id()) {
                    return Ok(());
                }
                index.make_present(&guard, hash)?;
                index.supply_key(&guard, hash, record.key, location)?;
            }
            Event::End(_) => return Ok(()),
            _ => {}
        }
    }
    Ok(())
}
