//! When the store's own threads are at work, as the system sees it.

use std::collections::HashMap;
use std::fs;

/// What a thread of this process is named by the system.
pub type ThreadId = String;

/// The calling thread.
pub fn this_thread() -> ThreadId {
    let link = fs::read_link("/proc/thread-self").expect("Linux names threads");
    let name = link.file_name().expect("the link ends in a name");
    name.to_string_lossy().into_owned()
}

/// How long the calling thread has been ready to run without a processor, in nanoseconds.
pub fn waited_for_processor() -> u64 {
    number("/proc/thread-self/schedstat", 1).unwrap_or(0)
}

/// Bytes that this process has given the system to write.
pub fn written() -> u64 {
    let text = fs::read_to_string("/proc/self/io").expect("Linux counts what a process writes");
    let line = text.lines().find_map(|it| it.strip_prefix("write_bytes: "));
    let bytes = line.and_then(|it| it.parse().ok());
    bytes.expect("a number of bytes")
}

fn number(file: &str, at: usize) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.split_ascii_whitespace().nth(at)?.parse().ok()
}

/// Watches all threads but some.
pub struct Activity {
    others: Vec<ThreadId>,
    processor: HashMap<ThreadId, u64>,
}

impl Activity {
    /// Watches all threads but `others`.
    pub fn besides(others: Vec<ThreadId>) -> Self {
        let mut activity = Self {
            others,
            processor: HashMap::new(),
        };
        activity.look();
        activity
    }

    /// Processor time in nanoseconds that the threads have taken since the last look, and whether one waits for a disk.
    pub fn look(&mut self) -> (u64, bool) {
        let (mut taken, mut waits) = (0, false);
        let tasks = fs::read_dir("/proc/self/task").expect("Linux lists threads");
        for task in tasks.flatten() {
            let thread = task.file_name().to_string_lossy().into_owned();
            if self.others.contains(&thread) {
                continue;
            }
            let file = |name: &str| format!("/proc/self/task/{thread}/{name}");
            // It may have ended meanwhile.
            let Some(processor) = number(&file("schedstat"), 0) else {
                continue;
            };
            let state = fs::read_to_string(file("stat")).unwrap_or_default();
            waits |= state
                .rsplit_once(") ")
                .is_some_and(|(_, it)| it.starts_with('D'));
            let before = self.processor.insert(thread, processor).unwrap_or(0);
            taken += processor.saturating_sub(before);
        }
        (taken, waits)
    }
}
