//! The C programs of `c_tests`, built against the shipped library and run in every way that finds faults.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(clippy::disallowed_methods)] // tests look at the project's files directly
#![allow(clippy::unwrap_used)] // a test that meets an error has failed

mod support;

use std::path::Path;
use std::process::{Command, Output};

use support::library::scratch_folder;
use support::programs::{Way, compiled, told};
use support::root;

/// Each program in each way is a test of its own.
macro_rules! programs {
    ($($program:ident)*) => {
        const PROGRAMS: &[&str] = &[$(stringify!($program)),*];
        programs!(@way shared, Way::Shared, $($program)*);
        programs!(@way archive, Way::Archive, $($program)*);
        programs!(@way sanitized, Way::Sanitized, $($program)*);
        programs!(@way valgrind, Way::Valgrind, $($program)*);
    };
    (@way $module:ident, $way:expr, $($program:ident)*) => {
        mod $module {
            use super::*;
            $(
                #[test]
                fn $program() {
                    passes($way, stringify!($program));
                }
            )*
        }
    };
}

programs! {
    acknowledgements backup basics batch binary_keys buffers compaction damage durability errors expiry fork get_many
    iterate kill limits locking misuse options persistence pinned pool pressure refresh stats threads verify version
}

#[test]
fn every_program_of_the_folder_is_run() {
    let entries = std::fs::read_dir(root().join("c_tests")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut programs: Vec<String> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    programs.sort();
    assert_eq!(programs, PROGRAMS);
}

#[test]
fn the_example_of_the_header_compiles_and_runs() {
    let header = std::fs::read_to_string(root().join("include/freyja.h")).unwrap();
    let lines = header
        .lines()
        .skip_while(|line| !line.ends_with("A complete program:"));
    let example: Vec<&str> = lines
        .skip(1)
        .map_while(|line| line.strip_prefix(" *"))
        .take_while(|line| *line != "/")
        .map(|line| line.strip_prefix("     ").unwrap_or(line))
        .collect();
    assert!((20..35).contains(&example.len()), "{example:?}");
    let source = scratch_folder().join("example.c");
    std::fs::write(&source, example.join("\n") + "\n").unwrap();
    let program = compiled(Way::Shared, &source);
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let output = Command::new(&program).current_dir(&directory).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", told(&output));
        assert_eq!(output.stdout, b"42\n");
    }
}

#[test]
fn the_sanitizers_notice_an_overrun_by_the_library() {
    let output = outcome(Way::Sanitized, "faulty/overrun");
    assert!(!output.status.success());
    assert!(
        told(&output).contains("heap-buffer-overflow"),
        "{}",
        told(&output)
    );
}

#[test]
fn the_sanitizers_notice_a_leak() {
    let output = outcome(Way::Sanitized, "faulty/leak");
    assert!(!output.status.success());
    assert!(told(&output).contains("detected memory leaks"));
}

#[test]
fn valgrind_notices_a_leak() {
    if has_valgrind() {
        let output = outcome(Way::Valgrind, "faulty/leak");
        assert!(!output.status.success());
        assert!(told(&output).contains("definitely lost"));
    }
}

fn passes(way: Way, program: &str) {
    if way == Way::Valgrind && !has_valgrind() {
        return;
    }
    let output = outcome(way, program);
    assert!(
        output.status.success(),
        "{program} {way:?}: {}\n{}",
        output.status,
        told(&output)
    );
    // What a program skipped is worth knowing.
    print!("{}", String::from_utf8_lossy(&output.stdout));
}

fn has_valgrind() -> bool {
    let found = Command::new("valgrind").arg("--version").output().is_ok();
    if !found {
        println!("skipped: valgrind is not installed");
    }
    found
}

/// Builds a program of `c_tests` and runs it in an empty directory.
fn outcome(way: Way, program: &str) -> Output {
    let source = root().join("c_tests").join(program).with_extension("c");
    let program = compiled(way, &source);
    let directory = tempfile::tempdir().unwrap();
    let mut command = match way {
        Way::Valgrind => under_valgrind(&program),
        _ => Command::new(program),
    };
    if matches!(way, Way::Sanitized | Way::Valgrind) {
        command.env("FREYJA_TEST_SLOW", "1");
    }
    command.arg(directory.path()).output().unwrap()
}

fn under_valgrind(program: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command
        .args(["--quiet", "--error-exitcode=9", "--leak-check=full"])
        .args(["--errors-for-leak-kinds=definite,indirect,possible"])
        .args(["--show-leak-kinds=definite,indirect,possible"])
        .arg(program);
    command
}
