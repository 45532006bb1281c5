//! The example programs compile without a warning and do what they say.
#![allow(clippy::disallowed_methods)] // runs compilers and programs, and reads the source tree

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::library::{library, native_libraries};
use support::{Language, compiler, root};

const WARNINGS: [&str; 7] = [
    "-std=c11",
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wshadow",
    "-Wconversion",
    "-Werror",
];

/// Compiles `examples/<name>.c` into `directory`.
fn compile(name: &str, directory: &Path) -> PathBuf {
    let program = directory.join(name);
    let compiled = compiler(Language::C)
        .args(WARNINGS)
        .arg(root().join("examples").join(name).with_extension("c"))
        .arg(&library().archive)
        .args(native_libraries())
        .arg("-o")
        .arg(&program)
        .status()
        .unwrap();
    assert!(compiled.success(), "examples/{name}.c does not compile");
    program
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs `owner` with `arguments` and expects its exit status to be `status`.
fn run_owner(program: &Path, arguments: &[&str], status: i32) -> Output {
    let output = Command::new(program).args(arguments).output().unwrap();
    let shown = format!("{}\n{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(
        output.status.code(),
        Some(status),
        "owner {arguments:?}: {shown}"
    );
    output
}

#[test]
fn the_example_of_the_readme_greets_from_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let program = compile("hello", directory.path());
    for run in ["new", "existing"] {
        let output = Command::new(&program)
            .current_dir(directory.path())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{run} store: {}",
            text(&output.stderr)
        );
        assert_eq!(text(&output.stdout), "hello, world\n", "{run} store");
    }
}

#[test]
fn the_compiler_command_of_the_readme_works() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let command = readme.lines().find(|line| line.starts_with("cc ")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let hello = directory.path().join("hello");
    let command = command
        .replace(
            "target/release/libfreyja.a",
            library().archive.to_str().unwrap(),
        )
        .replace("-o hello", &format!("-o {}", hello.display()));
    let compiled = Command::new("sh")
        .args(["-c", &command])
        .current_dir(root())
        .status()
        .unwrap();
    assert!(compiled.success(), "{command}");
    let output = Command::new(&hello)
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), "hello, world\n");
}

#[test]
fn owner_loads_answers_and_answers_again_from_a_kept_store() {
    let directory = tempfile::tempdir().unwrap();
    let program = compile("owner", directory.path());
    let store = directory.path().join("store");
    let store = store.to_str().unwrap();

    let loaded = text(&run_owner(&program, &["--store", store, "/usr", "/usr/bin/env/"], 0).stdout);
    assert!(loaded.contains("every answer right"), "{loaded}");
    let answers: Vec<&str> = loaded
        .lines()
        .filter(|line| line.starts_with("  /usr"))
        .collect();
    assert_eq!(
        answers.len(),
        4,
        "each of two questions before and after reopening: {loaded}"
    );
    assert_eq!(answers[..2], answers[2..]);

    let kept = text(&run_owner(&program, &["--store", store, "/usr", "/usr/bin/env/"], 0).stdout);
    assert!(
        kept.starts_with("store") && !kept.contains("load"),
        "{kept}"
    );
    assert_eq!(kept.lines().skip(1).collect::<Vec<_>>(), answers[..2]);

    let unknown =
        text(&run_owner(&program, &["--store", store, "/usr", "/no/such/file"], 1).stdout);
    assert!(
        unknown.ends_with("  /no/such/file: not known\n"),
        "{unknown}"
    );
}

#[test]
fn owner_says_what_dpkg_says() {
    let Ok(asked) = Command::new("dpkg-query")
        .args(["-S", "/etc/skel", "/usr/share/doc/dpkg"])
        .output()
    else {
        eprintln!("skipped: there is no dpkg here");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let program = compile("owner", directory.path());
    let answered = text(&run_owner(&program, &["/etc/skel", "/usr/share/doc/dpkg"], 0).stdout);
    assert_eq!(
        text(&asked.stdout).lines().count(),
        2,
        "dpkg-query knows both"
    );
    for line in text(&asked.stdout).lines() {
        let (packages, path) = line.split_once(": ").unwrap();
        let mut packages: Vec<&str> = packages.split(", ").collect();
        packages.sort_unstable();
        let answer = format!("  {path}: {}\n", packages.join(", "));
        assert!(answered.contains(&answer), "{answer}{answered}");
    }
}

#[test]
fn owner_refuses_what_it_does_not_understand() {
    let directory = tempfile::tempdir().unwrap();
    let program = compile("owner", directory.path());
    for wrong in [&["--store"][..], &["--stare", "/usr"], &["usr/bin/env"]] {
        let refused = run_owner(&program, wrong, 2);
        assert!(text(&refused.stderr).contains("usage: owner"), "{wrong:?}");
        assert!(refused.stdout.is_empty(), "{wrong:?}");
    }
    let file = directory.path().join("a file");
    std::fs::write(&file, "not a store").unwrap();
    let refused = run_owner(&program, &["--store", file.to_str().unwrap(), "/usr"], 3);
    assert!(
        text(&refused.stderr).contains("a file"),
        "the message names the place"
    );
    assert_eq!(std::fs::read(&file).unwrap(), b"not a store");
}
