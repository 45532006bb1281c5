//! Starts a process for everything that is to be measured.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use freyja_peers::engine;
use freyja_peers::machine;
use freyja_peers::median::median;

use crate::arguments::{Arguments, Child};
use crate::{chart, report};

/// Bytes that a pair may take on the disk, with what is overwritten, and of memory, with the pages of its file.
const DISK_A_PAIR: u64 = 100;
const MEMORY_A_PAIR: u64 = 100;

/// The numbers of one size, several of each.
#[derive(Default)]
pub struct Measured(BTreeMap<String, Vec<f64>>);

impl Measured {
    /// The median of what was measured under this name.
    pub fn number(&self, name: &str) -> f64 {
        let numbers = self.0.get(name);
        let median = numbers.and_then(|numbers| median(numbers));
        median.unwrap_or_else(|| panic!("{name} was not measured"))
    }

    fn add(&mut self, prefix: &str, text: &str) {
        for line in text.lines() {
            let (name, number) = line.split_once('\t').expect("a name and a number");
            let number = number.parse().expect("a child prints numbers");
            let name = format!("{prefix}{name}");
            self.0.entry(name).or_default().push(number);
        }
    }
}

/// Measures everything, and prints and records it.
pub fn run(arguments: &Arguments) {
    // Asked before anything is written.
    let commit = machine::commit();
    fs::create_dir_all(&arguments.directory).expect("the directory can be made");
    let library = engine::build_freyja();
    let mut all = Vec::new();
    for &size in &arguments.sizes {
        let [disk, memory] = [size * DISK_A_PAIR, size * MEMORY_A_PAIR];
        let free = [
            machine::available_disk(&arguments.directory),
            machine::available_memory(),
        ];
        if disk > free[0] || memory > free[1] {
            eprintln!(
                "left out: {size} pairs may take {} GiB of the disk and {} GiB of memory; {} and {} are free",
                disk >> 30,
                memory >> 30,
                free[0] >> 30,
                free[1] >> 30
            );
            continue;
        }
        let mut measured = Measured::default();
        for round in 0..arguments.rounds {
            eprintln!("{size} pairs, round {} of {}", round + 1, arguments.rounds);
            measure(size, &arguments.directory, &library, &mut measured);
        }
        all.push((size, measured));
    }
    let text = report::text(&all, arguments, &commit);
    println!("{text}");
    if arguments.record {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/benchmarks/scale");
        fs::create_dir_all(&folder).expect("the report's folder can be made");
        let page = format!("# Growth of cost\n\n![growth of cost](scale.svg)\n\n{text}");
        fs::write(folder.join("scale.md"), page).expect("the report can be written");
        chart::draw(&all, &folder.join("scale.svg"));
    }
}

fn measure(size: u64, directory: &Path, library: &Path, measured: &mut Measured) {
    let place = tempfile::tempdir_in(directory).expect("a temporary directory");
    let start = |child| start(child, size, &place.path().join("store"), library);
    measured.add("", &start(Child::Work));
    measured.add("nothing, ", &start(Child::Nothing));
    measured.add("clean, ", &start(Child::OpenAndDie));
    measured.add("killed, ", &start(Child::Open));
}

/// Runs this program again; answers what it printed.
fn start(child: Child, size: u64, store: &Path, library: &Path) -> String {
    let output = Command::new(env::current_exe().expect("the benchmark knows where it is"))
        .args(["--child", child.name(), "--pairs", &size.to_string()])
        .arg("--directory")
        .arg(store)
        .env(engine::FREYJA_LIBRARY, library)
        .output()
        .expect("the benchmark can start itself");
    let as_told = match child {
        Child::OpenAndDie => output.status.signal() == Some(libc::SIGKILL),
        _ => output.status.success(),
    };
    assert!(
        as_told,
        "{}: {}{}",
        child.name(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
