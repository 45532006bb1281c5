//! What the documents say about the source tree is so.
#![allow(clippy::disallowed_methods)] // reads the source tree, not a store

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every document, relative to the root.
fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for directory in ["", "docs"] {
        for entry in fs::read_dir(root().join(directory)).unwrap() {
            let name = Path::new(directory).join(entry.unwrap().file_name());
            if name.extension().is_some_and(|extension| extension == "md") {
                found.push(name);
            }
        }
    }
    assert!(
        found.contains(&PathBuf::from("README.md")) && found.len() >= 3,
        "{found:?}"
    );
    found
}

/// The contents of the document's fenced blocks that are marked `language`.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}");
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line == opening {
            found.push(
                lines
                    .by_ref()
                    .take_while(|line| *line != "```")
                    .map(|line| format!("{line}\n"))
                    .collect(),
            );
        }
    }
    found
}

#[test]
fn the_readme_shows_the_example_file_as_it_is() {
    assert_eq!(blocks(&read("README.md"), "c"), [read("examples/hello.c")]);
}

#[test]
fn a_fresh_machine_needs_two_commands() {
    let first = &blocks(&read("README.md"), "sh")[0];
    let commands: Vec<&str> = first
        .lines()
        .map(|line| line.split('#').next().unwrap().trim())
        .collect();
    assert_eq!(commands, ["make demo", "make test"]);
}

#[test]
fn every_make_target_that_a_document_names_exists() {
    let makefile = read("Makefile");
    let mut named = 0;
    for document in documents() {
        let text = read(document.to_str().unwrap());
        let code = text.split('`').skip(1).step_by(2).chain(text.lines());
        for target in code.filter_map(|code| code.strip_prefix("make ")) {
            let target = target.split_whitespace().next().unwrap();
            let rule = format!("\n{target}:");
            assert!(
                makefile.contains(&rule),
                "{}: make {target}",
                document.display()
            );
            named += 1;
        }
    }
    assert!(named >= 4, "only {named} found");
}

#[test]
fn every_link_between_the_documents_leads_somewhere() {
    let mut followed = 0;
    for document in documents() {
        let text = read(document.to_str().unwrap());
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            let file = link.split('#').next().unwrap();
            if file.is_empty() || link.contains("://") {
                continue;
            }
            let target = root().join(document.parent().unwrap()).join(file);
            assert!(target.exists(), "{}: {link}", document.display());
            followed += 1;
        }
    }
    assert!(followed >= 5, "only {followed} found");
}
