//! What this process takes of the machine's memory, as the system counts it.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Looks at this process's memory without taking any itself.
pub struct Resident {
    status: File,
}

impl Resident {
    pub fn open() -> Resident {
        let status = File::open("/proc/self/status").expect("Linux tells a process its memory");
        Resident { status }
    }

    /// Bytes that no file backs: `RssAnon` and `RssShmem`. Some kernels add up counts of each processor only roughly, and are
    /// then wrong by some hundred KiB at most, which matters to small stores alone.
    pub fn bytes(&self) -> u64 {
        let mut text = [0; 4096];
        let length = self
            .status
            .read_at(&mut text, 0)
            .expect("the status can be read");
        let mut kibibytes = 0;
        let mut found = 0;
        for line in text[..length].split(|byte| *byte == b'\n') {
            if line.starts_with(b"RssAnon:") || line.starts_with(b"RssShmem:") {
                let digits = line.iter().filter(|byte| byte.is_ascii_digit());
                kibibytes += digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
                found += 1;
            }
        }
        assert_eq!(found, 2, "the status has both lines");
        kibibytes * 1024
    }
}
