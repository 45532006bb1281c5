//! Watches the process's memory while it fills, so that a spike inside one put is seen too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::resident::Resident;

/// Parts into which a fill is divided.
pub const PARTS: usize = 100;

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// A thread that looks at the memory again and again. It exists before the first measurement, so that what it takes is
/// not counted.
pub struct Watch {
    seen: Arc<Seen>,
    thread: JoinHandle<()>,
}

struct Seen {
    part: AtomicUsize,
    highest: [AtomicU64; PARTS],
    stop: AtomicBool,
}

impl Watch {
    pub fn start() -> Watch {
        let seen = Arc::new(Seen {
            part: AtomicUsize::new(0),
            highest: [const { AtomicU64::new(0) }; PARTS],
            stop: AtomicBool::new(false),
        });
        let thread = std::thread::spawn({
            let seen = seen.clone();
            move || watch(&seen)
        });
        // The first look is through: the thread has all that it will ever take.
        while seen.highest[0].load(Ordering::Acquire) == 0 {
            std::thread::yield_now();
        }
        seen.highest[0].store(0, Ordering::Release);
        Watch { seen, thread }
    }

    /// From here on looks count for `part`.
    pub fn enter(&self, part: usize) {
        self.seen.part.store(part, Ordering::Release);
    }

    /// The highest count of bytes of the whole process seen in `part`; 0 if nobody looked.
    pub fn highest(&self, part: usize) -> u64 {
        self.seen.highest[part].load(Ordering::Acquire)
    }

    pub fn stop(self) {
        self.seen.stop.store(true, Ordering::Release);
        self.thread.join().expect("the watching thread ends");
    }
}

fn watch(seen: &Seen) {
    let resident = Resident::open();
    while !seen.stop.load(Ordering::Acquire) {
        let part = seen.part.load(Ordering::Acquire);
        seen.highest[part].fetch_max(resident.bytes(), Ordering::AcqRel);
        std::thread::sleep(PAUSE);
    }
}
