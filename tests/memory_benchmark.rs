//! The keys of the memory benchmark are what its report says they are, and what it keeps of an interrupted run is what was
//! measured: otherwise its figures would lie.
#![allow(clippy::disallowed_methods)] // reads and writes the benchmark's files, not a store
#![allow(clippy::unwrap_used)] // a test fails that way

#[allow(dead_code)] // what only the benchmark calls
#[path = "../benches/shared/clocks.rs"]
mod clocks;
#[allow(dead_code)]
#[path = "../benches/memory/contestants.rs"]
mod contestants;
#[allow(dead_code)]
#[path = "../benches/memory/finished.rs"]
mod finished;
#[allow(dead_code)]
#[path = "../benches/memory/key_sets.rs"]
mod key_sets;
#[allow(dead_code)]
#[path = "../benches/shared/latency.rs"]
mod latency;
#[path = "../benches/memory/real_paths.rs"]
mod real_paths;
#[path = "../benches/memory/transcript.rs"]
mod transcript;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use contestants::Counters;
use finished::Finished;
use key_sets::KeySet;
use latency::Latencies;
use real_paths::RealPaths;
use transcript::{Sample, State, Transcript};

fn keys(set: KeySet, count: u64, paths: Option<&Path>) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    set.for_each(count, paths, |number, key| {
        assert_eq!(number, keys.len() as u64);
        keys.push(key.to_vec());
    });
    keys
}

#[test]
fn made_keys_differ_have_the_lengths_their_set_says_and_are_the_same_every_time() {
    let count = 100_000;
    for length in [8, 13, 16, 32, 64, 1000] {
        let made = keys(KeySet::Fixed(length), count, None);
        assert!(made.iter().all(|key| key.len() == length));
        assert_eq!(made.iter().collect::<HashSet<_>>().len() as u64, count);
        assert_eq!(made, keys(KeySet::Fixed(length), count, None));
    }
    let mixed = keys(KeySet::Mixed, count, None);
    assert_eq!(mixed.iter().collect::<HashSet<_>>().len() as u64, count);
    let lengths: HashSet<usize> = mixed.iter().map(Vec::len).collect();
    assert_eq!(lengths, (8..=1000).collect());
    let bytes: usize = mixed.iter().map(Vec::len).sum();
    assert_eq!(bytes as u64, KeySet::Mixed.bytes(count, None));
    let mean = bytes as f64 / count as f64;
    assert!((mean - 504.0).abs() < 5.0, "{mean}");
}

#[test]
fn every_set_is_known_by_its_name() {
    for set in KeySet::all() {
        assert_eq!(KeySet::named(&set.name()), Some(set));
    }
    for wrong in ["7", "1001", "", "long"] {
        assert_eq!(KeySet::named(wrong), None, "{wrong}");
    }
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, contents: &[u8]) -> PathBuf {
        let file = self.0.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, contents).unwrap();
        file
    }

    fn gather(&self, given: Option<&Path>, most: u64) -> Option<RealPaths> {
        let [apt, dpkg] = ["apt", "dpkg"].map(|name| self.0.path().join(name));
        real_paths::gather(given, &apt, &dpkg, self.0.path(), most)
    }
}

fn texts(gathered: &RealPaths) -> Vec<String> {
    let keys = keys(KeySet::Paths, gathered.count, Some(&gathered.file));
    keys.into_iter()
        .map(|key| String::from_utf8(key).unwrap())
        .collect()
}

#[test]
fn paths_come_from_the_lists_of_installed_files_each_once_and_no_more_than_wanted() {
    let place = Place::new();
    assert!(place.gather(None, 9).is_none());
    place.file("dpkg/one.list", b"/.\n/usr\n/usr/bin/one\n");
    place.file("dpkg/two.list", b"/.\n/usr\n/usr/two, it is");
    place.file("dpkg/two.md5sums", b"not a list\n");
    let gathered = place.gather(None, 9).unwrap();
    assert_eq!(
        texts(&gathered),
        ["/.", "/usr", "/usr/bin/one", "/usr/two, it is"]
    );
    assert!(gathered.source.contains("dpkg"), "{}", gathered.source);
    assert_eq!(texts(&place.gather(None, 2).unwrap()), ["/.", "/usr"]);
}

#[test]
fn a_named_file_goes_before_everything_else() {
    let place = Place::new();
    place.file("dpkg/one.list", b"/usr\n");
    let given = place.file("mine", b"b\n\na\nb\n");
    let gathered = place.gather(Some(&given), 9).unwrap();
    assert_eq!(texts(&gathered), ["a", "b"]);
    assert!(gathered.source.contains("mine"), "{}", gathered.source);
}

#[test]
fn a_contents_index_goes_before_the_lists_and_loses_its_packages() {
    if !Path::new("/usr/lib/apt/apt-helper").exists() {
        eprintln!("skipped: without apt there is nothing that reads its index");
        return;
    }
    let place = Place::new();
    place.file("dpkg/one.list", b"/usr\n");
    let index = b"usr/a file\t  utils/one,admin/two\nbin/sh   shells/dash\nbin/sh shells/bash\n";
    let plain = place.file("apt/mirror_Contents-amd64", index);
    let check = || {
        let gathered = place.gather(None, 9).unwrap();
        assert_eq!(texts(&gathered), ["bin/sh", "usr/a file"]);
        assert!(gathered.source.contains("apt-file"), "{}", gathered.source);
    };
    check();
    let compressed = std::process::Command::new("lz4")
        .args(["-q", "--rm"])
        .arg(&plain)
        .arg(plain.with_extension("lz4"))
        .status();
    match compressed {
        Ok(status) if status.success() => check(),
        _ => eprintln!("skipped: without lz4 a compressed index cannot be made"),
    }
}

fn transcript() -> Transcript {
    let mut puts = Latencies::new();
    (0..100).for_each(|_| puts.time(std::thread::yield_now));
    let counters = Counters {
        memory: 9,
        slab_allocated: 7,
        slab_wasted: 1,
    };
    let state = |counters| State {
        keys: 1000,
        resident: 1 << 40,
        counters,
    };
    Transcript {
        states: vec![state(Some(counters)), state(None)],
        samples: vec![Sample {
            keys: 10,
            key_bytes: 160,
            resident: 4096,
            highest: 8192,
        }],
        puts: Some(puts.summary()),
    }
}

#[test]
fn what_a_process_tells_is_understood_as_it_was_meant() {
    let told = transcript();
    assert_eq!(Transcript::parse(&told.to_string()), Some(told.clone()));
    let puts = told.puts.unwrap();
    let [half, of_100, of_1000, slowest] = puts.wall;
    // Quantiles are rounded up by a hundredth at most, the slowest is exact.
    assert!(half <= of_100 && of_100 <= of_1000 && of_1000 <= slowest + slowest / 100 + 1);
    let untimed = Transcript { puts: None, ..told };
    assert_eq!(Transcript::parse(&untimed.to_string()), Some(untimed));
    for wrong in [
        "",
        "state 1",
        "state 1 2 3",
        "puts 1 2",
        "state 1 2\npanicked",
    ] {
        assert_eq!(Transcript::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn an_interrupted_run_goes_on_with_what_it_finished_and_nothing_else() {
    let place = Place::new();
    let open = || Finished::open(place.0.path()).unwrap();
    let run = open().unwrap();
    assert!(open().is_none(), "another run is at work");
    run.keep("one", &transcript()).unwrap();
    assert!(run.find("two").is_none());
    drop(run);
    // What another test of this program starts at this moment holds the lock until it has become another program.
    let reopen = || {
        let opened = (0..500).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            open()
        });
        opened.expect("the run before has let go")
    };
    place.file("stores/store/left", b"of the run that was interrupted");
    place.file("finished-0/two", b"state 1 2\n");
    let run = reopen();
    assert!(run.find("one").is_some() && run.find("two").is_none());
    assert_eq!(run.found(), 1);
    let left = |name: &str| place.0.path().join(name).exists();
    assert!(!left("stores") && !left("finished-0"));
    run.forget().unwrap();
    assert!(reopen().find("one").is_none());
}
