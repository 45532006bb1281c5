//! A file system in a file, mounted, that can lose its power.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::programs::told;

/// A file system and how it is mounted.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// As `mkfs` calls it.
    pub name: &'static str,
    /// Options of its mount.
    pub options: &'static str,
}

/// What is tried.
pub const KINDS: [Kind; 4] = [
    Kind {
        name: "ext4",
        options: "defaults",
    },
    Kind {
        name: "ext4",
        options: "data=journal",
    },
    Kind {
        name: "ext4",
        options: "data=writeback,nodelalloc,commit=1",
    },
    Kind {
        name: "xfs",
        options: "defaults",
    },
];

/// Enough for XFS, which takes no less.
const SIZE: u64 = 512 << 20;

/// A mounted file system; dropping it unmounts and forgets it.
pub struct Mounted {
    kind: Kind,
    image: PathBuf,
    directory: PathBuf,
    cutter: PathBuf,
    _place: tempfile::TempDir,
}

impl Mounted {
    /// Makes and mounts one; `None`, with a notice, where that is not possible.
    pub fn new(kind: Kind, cutter: &Path) -> Option<Self> {
        // In memory, where there is such a place: the disk below plays no part in what is tried.
        let place = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let place = place.expect("a temporary directory");
        let image = place.path().join("image");
        let file = std::fs::File::create(&image).expect("a file");
        file.set_len(SIZE).expect("a large file");
        let directory = place.path().join("mounted");
        std::fs::create_dir(&directory).expect("a directory");
        let mounted = Self {
            kind,
            image,
            directory,
            cutter: cutter.to_owned(),
            _place: place,
        };
        let made = Command::new(format!("mkfs.{}", kind.name))
            .arg("-q")
            .arg(&mounted.image)
            .output();
        let refusal = match made {
            Err(error) => Some(format!("mkfs.{}: {error}", kind.name)),
            Ok(output) if !output.status.success() => Some(told(&output)),
            Ok(_) => mounted.mount().err(),
        };
        if let Some(refusal) = refusal {
            println!("skipped: {kind}: {}", refusal.trim());
            return None;
        }
        Some(mounted)
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it is mounted.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn mount(&self) -> Result<(), String> {
        let options = format!("loop,{}", self.kind.options);
        let mut mount = Command::new("mount");
        mount.args(["-t", self.kind.name, "-o", &options]);
        let output = mount.arg(&self.image).arg(&self.directory).output();
        let output = output.map_err(|error| format!("mount: {error}"))?;
        output.status.success().then_some(()).ok_or(told(&output))
    }

    /// Takes the power away: every write and sync fails from now on.
    pub fn cut(&self) {
        let output = Command::new(&self.cutter)
            .arg("cut")
            .arg(&self.directory)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", told(&output));
    }

    /// Mounts it as after a power cut: what the system still kept of it is gone.
    pub fn power_on(&self) {
        // The system may still be letting go of what the writer had open and mapped.
        let mut tries = 500;
        loop {
            let umount = Command::new("umount").arg(&self.directory).output();
            let output = umount.unwrap();
            if output.status.success() {
                break;
            }
            tries -= 1;
            assert!(tries > 0, "{}", told(&output));
            std::thread::sleep(Duration::from_millis(10));
        }
        if let Err(refusal) = self.mount() {
            panic!("{} cannot be mounted again: {refusal}", self.kind);
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Fails where it was not mounted.
        let _ = Command::new("umount")
            .arg("-l")
            .arg(&self.directory)
            .output();
    }
}
