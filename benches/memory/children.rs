//! A process of its own for every measurement.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::arguments::Task;
use crate::contestants::Kind;
use crate::key_sets::KeySet;
use crate::transcript::Transcript;

/// Where children work.
pub struct Children {
    /// A directory of the disk, in which each child's store gets a directory of its own that is removed again.
    pub directory: PathBuf,
    /// The file of paths, where there are any.
    pub paths: Option<PathBuf>,
}

impl Children {
    /// Runs this program again on `count` keys of `set` and gives back what it told.
    pub fn start(&self, task: Task, kind: Kind, set: KeySet, count: u64) -> Transcript {
        let began = Instant::now();
        let (title, keys) = (kind.title(), set.title());
        eprint!("{title}, {count} keys of {keys}, {} … ", task.name());
        let place = tempfile::tempdir_in(&self.directory).expect("a directory can be made");
        let store = place.path().join("store");
        let transcript = self.run(task, kind, set, count, &store);
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
