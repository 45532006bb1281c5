//! A process of its own for every measurement.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::arguments::Task;
use crate::contestants::Kind;
use crate::finished::Finished;
use crate::key_sets::KeySet;
use crate::transcript::Transcript;

/// Where children work.
pub struct Children {
    /// A directory of the disk, in which each child's store gets a directory of its own that is removed again.
    pub directory: PathBuf,
    /// The file of paths, where there are any.
    pub paths: Option<PathBuf>,
    /// What need not be measured again.
    pub finished: Finished,
}

/// What a child does.
#[derive(Clone, Copy)]
pub struct Measurement {
    pub kind: Kind,
    pub set: KeySet,
    pub count: u64,
    /// Of all keys together; tells files of different paths apart.
    pub key_bytes: u64,
}

impl Children {
    /// Runs this program again and gives back what it told, or what it told an earlier run.
    pub fn start(&self, task: Task, measurement: Measurement) -> Transcript {
        let Measurement {
            kind,
            set,
            count,
            key_bytes,
        } = measurement;
        eprint!(
            "{}, {count} keys of {}, {} … ",
            kind.title(),
            set.title(),
            task.name()
        );
        let name = format!(
            "{}-{}-{}-{count}-{key_bytes}",
            task.name(),
            kind.name(),
            set.name()
        );
        if let Some(transcript) = self.finished.find(&name) {
            eprintln!("finished by an earlier run");
            return transcript;
        }
        let began = Instant::now();
        let place = tempfile::tempdir_in(&self.directory).expect("a directory can be made");
        let store = place.path().join("store");
        let transcript = self.run(task, kind, set, count, &store);
        let kept = self.finished.keep(&name, &transcript);
        kept.expect("a transcript can be written");
        eprintln!("{:.1} s", began.elapsed().as_secs_f64());
        transcript
    }

    fn run(&self, task: Task, kind: Kind, set: KeySet, count: u64, store: &Path) -> Transcript {
        let program = std::env::current_exe().expect("the benchmark knows where it is");
        let mut command = Command::new(program);
        command
            .args(["--task", task.name(), "--contestant", kind.name()])
            .args(["--key-sets", &set.name(), "--keys", &count.to_string()])
            .arg("--directory")
            .arg(store);
        if let Some(paths) = &self.paths {
            command.arg("--paths").arg(paths);
        }
        let output = command
            .stderr(Stdio::inherit())
            .output()
            .expect("the benchmark can start itself");
        assert!(output.status.success(), "{command:?}: {}", output.status);
        let text = String::from_utf8_lossy(&output.stdout);
        Transcript::parse(&text).unwrap_or_else(|| panic!("{command:?} told {text}"))
    }
}
