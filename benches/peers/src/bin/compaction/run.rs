//! Starts a process for each store and each way to draw keys.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use freyja_peers::engine::{self, Kind};
use freyja_peers::machine;

use crate::arguments::{Arguments, Keys};
use crate::outcome::Outcome;
use crate::{plot, report};

/// What was measured with keys drawn in one way, by store.
pub struct Measured {
    pub keys: Keys,
    pub outcomes: Vec<(Kind, Outcome)>,
}

/// Measures everything, and writes the report and its pictures.
pub fn run(arguments: &Arguments) {
    // Asked before anything is written.
    let commit = machine::commit();
    fs::create_dir_all(&arguments.directory).expect("the directory can be made");
    fs::create_dir_all(&arguments.output).expect("the directory of the report can be made");
    let library = engine::build_freyja();
    let mut all = Vec::new();
    for keys in Keys::ALL {
        let mut outcomes = Vec::new();
        for &kind in &arguments.kinds {
            eprintln!("{}, {} keys", kind.name, keys.name());
            outcomes.push((kind, measure(kind, keys, arguments, &library)));
        }
        all.push(Measured { keys, outcomes });
    }
    for measured in &all {
        let picture = format!("{}.svg", measured.keys.name());
        plot::draw(measured, arguments, &arguments.output.join(picture));
    }
    let text = report::text(&all, arguments, &commit);
    fs::write(arguments.output.join("compaction.md"), &text).expect("the report can be written");
    println!("{text}");
}

fn measure(kind: Kind, keys: Keys, arguments: &Arguments, library: &Path) -> Outcome {
    let place = tempfile::tempdir_in(&arguments.directory).expect("a temporary directory");
    let output = Command::new(env::current_exe().expect("the benchmark knows where it is"))
        .args(["--child", keys.name(), "--engines", kind.name])
        .args(arguments.words())
        .arg("--directory")
        .arg(place.path())
        .env(engine::FREYJA_LIBRARY, library)
        .output()
        .expect("the benchmark can start itself");
    assert!(
        output.status.success(),
        "{}: {}{}",
        kind.name,
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Outcome::parse(&String::from_utf8_lossy(&output.stdout))
}
