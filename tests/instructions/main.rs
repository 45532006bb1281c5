//! How many instructions the operations of the shipped library take, and whether that has grown: `make instructions`.
#![allow(clippy::disallowed_methods)] // reads real files

mod count;
mod record;

use std::path::{Path, PathBuf};
use std::process::Command;

use count::count;
use record::{Record, Verdict};

const STORAGES: [&str; 2] = ["memory", "disk"];

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/benchmarks/instructions.md")
}

/// What decides which instructions there are, besides the sources.
fn built_with() -> String {
    let version = |program: &str| {
        let output = Command::new(program).arg("--version").output();
        let text = output.map(|it| it.stdout).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        text.lines().next().unwrap_or_default().to_owned()
    };
    #[cfg(target_arch = "x86_64")]
    let processor = match std::arch::is_x86_feature_detected!("avx2") {
        true => "x86-64 with AVX2",
        false => "x86-64 without AVX2",
    };
    #[cfg(not(target_arch = "x86_64"))]
    let processor = std::env::consts::ARCH;
    let [rustc, libc, valgrind] = ["rustc", "ldd", "valgrind"].map(version);
    format!("{rustc}, {libc}, {valgrind}, {processor}")
}

#[test]
#[ignore = "takes a release build: make instructions"]
fn no_operation_takes_many_more_instructions_than_are_recorded() {
    let program = std::env::var_os("FREYJA_OPERATIONS").expect("make instructions says which");
    let [in_memory, on_disk] = std::thread::scope(|scope| {
        STORAGES
            .map(|storage| {
                scope.spawn({
                    let program = &program;
                    move || count(Path::new(program), storage)
                })
            })
            .map(|thread| thread.join().unwrap())
    });
    let (Some(in_memory), Some(on_disk)) = (in_memory, on_disk) else {
        return;
    };
    let now = Record::new(&built_with(), &in_memory, &on_disk);
    println!("{now}");
    if std::env::var("FREYJA_RENEW").is_ok_and(|renew| !renew.is_empty()) {
        std::fs::write(file(), now.to_string()).unwrap();
        return;
    }
    let recorded = std::fs::read_to_string(file()).unwrap();
    match now.judge(&Record::parse(&recorded).unwrap()) {
        Verdict::Incomparable(why) => println!("nothing is compared: {why}"),
        Verdict::Within(changes) => println!("within bounds: {changes}"),
        Verdict::Grown(changes) => panic!(
            "more instructions than docs/benchmarks/instructions.md records: {changes}. If that is meant, \
             make instructions RENEW=1 records it"
        ),
    }
}
