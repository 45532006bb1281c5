//! What the built libraries look like from outside: names, symbols, needs.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(clippy::disallowed_methods)] // tests read the project's files directly

mod support;

use std::path::Path;
use std::process::Command;

use support::library::{cargo, library, native_libraries};
use support::root;

fn output_of(program: &str, arguments: &[&str], file: &Path) -> String {
    let output = Command::new(program).args(arguments).arg(file).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{program} failed");
    String::from_utf8(output.stdout).unwrap()
}

fn committed_symbols() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("c_tests/symbols.txt")).unwrap();
    text.lines().map(String::from).collect()
}

#[test]
fn the_shared_library_names_its_binary_interface_and_stays_loaded() {
    let dynamic = output_of("readelf", &["--dynamic", "--wide"], &library().shared);
    assert!(
        dynamic.contains("Library soname: [libfreyja.so.0]"),
        "{dynamic}"
    );
    assert!(dynamic.contains("NODELETE"), "{dynamic}");
}

#[test]
fn exactly_the_committed_symbols_are_exported() {
    let listed = output_of(
        "nm",
        &["--dynamic", "--defined-only", "--format=posix"],
        &library().shared,
    );
    let mut symbols: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    symbols.sort_unstable();
    assert_eq!(symbols, committed_symbols());
}

#[test]
fn the_header_declares_exactly_the_committed_symbols() {
    let header = std::fs::read_to_string(root().join("include/freyja.h")).unwrap();
    let declarations = header.split_once("extern \"C\" {").unwrap().1;
    let mut names: Vec<String> = declarations
        .lines()
        .filter(|line| !line.starts_with(" *"))
        .filter_map(|line| line.split_once('('))
        .filter_map(|(before, _)| before.rsplit([' ', '*']).next())
        .filter(|name| name.starts_with("freyja_"))
        .map(String::from)
        .collect();
    names.sort();
    assert_eq!(names, committed_symbols());
}

#[test]
fn the_archive_has_every_symbol() {
    // Not `nm`: where a plugin for bitcode is installed, it sees nothing else in these objects.
    let listed = output_of("readelf", &["--symbols", "--wide"], &library().archive);
    let defined: Vec<&str> = listed
        .lines()
        .filter(|line| line.contains(" FUNC ") && line.contains(" GLOBAL "))
        .filter_map(|line| line.rsplit(' ').next())
        .collect();
    for symbol in committed_symbols() {
        assert!(defined.contains(&symbol.as_str()), "{symbol}");
    }
}

#[test]
fn the_archive_needs_exactly_the_committed_libraries() {
    let messages = cargo(
        &["rustc", "--lib", "--crate-type", "staticlib"],
        &["--print", "native-static-libs"],
    );
    let marker = "native-static-libs: ";
    let line = messages.lines().find(|line| line.contains(marker)).unwrap();
    let needed: Vec<&str> = line
        .split_once(marker)
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    assert_eq!(needed, native_libraries());
}
