//! What the built libraries look like from outside: names, symbols, needs.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(clippy::disallowed_methods)] // tests look at the project's files directly
#![allow(clippy::unwrap_used)] // a test that meets an error has failed

mod support;

use std::path::Path;
use std::process::Command;

use support::library::{cargo, library, native_libraries};
use support::root;

/// What a tool says about a file, `None` if the tool is not installed.
fn output_of(tool: &str, arguments: &[&str], file: &Path) -> Option<String> {
    let Ok(output) = Command::new(tool).args(arguments).arg(file).output() else {
        println!("skipped: {tool} is not installed");
        return None;
    };
    assert!(output.status.success(), "{tool} failed");
    Some(String::from_utf8(output.stdout).unwrap())
}

fn committed_symbols() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("c_tests/symbols.txt")).unwrap();
    text.lines().map(String::from).collect()
}

#[test]
fn the_shared_library_names_its_binary_interface_and_stays_loaded() {
    let arguments = ["--dynamic", "--wide"];
    let Some(dynamic) = output_of("readelf", &arguments, &library().shared) else {
        return;
    };
    assert!(
        dynamic.contains("Library soname: [libfreyja.so.0]"),
        "{dynamic}"
    );
    assert!(dynamic.contains("NODELETE"), "{dynamic}");
}

#[test]
fn exactly_the_committed_symbols_are_exported() {
    let arguments = ["--dynamic", "--defined-only", "--format=posix"];
    let Some(listed) = output_of("nm", &arguments, &library().shared) else {
        return;
    };
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
    let arguments = ["--symbols", "--wide"];
    let Some(listed) = output_of("readelf", &arguments, &library().archive) else {
        return;
    };
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
    let arguments = "--crate-type staticlib -- --print native-static-libs";
    let messages = cargo("rustc", &arguments.split(' ').collect::<Vec<_>>());
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
