//! The committed header is exactly what the sources say, and it stands alone in C and C++.
#![allow(clippy::disallowed_methods)] // tests look at the project's files directly
#![allow(clippy::unwrap_used)] // a test that meets an error has failed

mod support;

use support::{Language, compiler, root};

/// The files of the interface, in the order of the header.
const SOURCES: [&str; 25] = [
    "limits",
    "version",
    "status",
    "error",
    "options",
    "db",
    "batch",
    "write",
    "put_buf",
    "read",
    "pinned",
    "read_many",
    "iterate",
    "buffer",
    "pool",
    "location",
    "refresh",
    "progress",
    "compaction",
    "backup",
    "stats",
    "memory",
    "metrics",
    "failure",
    "verify",
];

fn generated() -> String {
    let mut config = cbindgen::Config::from_file(root().join("cbindgen.toml")).unwrap();
    let parts: Vec<u32> = env!("CARGO_PKG_VERSION")
        .split('.')
        .map(|part| part.parse().unwrap())
        .collect();
    let number = parts[0] * 1_000_000 + parts[1] * 1_000 + parts[2];
    let macros = config.after_includes.take().unwrap();
    config.after_includes = Some(
        macros
            .replace("@MAJOR@", &parts[0].to_string())
            .replace("@MINOR@", &parts[1].to_string())
            .replace("@PATCH@", &parts[2].to_string())
            .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
            .replace("@NUMBER@", &number.to_string()),
    );
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in SOURCES {
        builder = builder.with_src(root().join(format!("src/capi/{source}.rs")));
    }
    let mut text = Vec::new();
    builder.generate().unwrap().write(&mut text);
    String::from_utf8(text).unwrap()
}

#[test]
fn the_committed_header_is_what_the_sources_say() {
    let path = root().join("include/freyja.h");
    let generated = generated();
    if std::env::var_os("FREYJA_UPDATE_HEADER").is_some() {
        std::fs::create_dir_all(root().join("include")).unwrap();
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    if committed != generated {
        let lines = committed.lines().zip(generated.lines());
        let line = lines.take_while(|(old, new)| old == new).count() + 1;
        panic!(
            "include/freyja.h differs from src/capi from line {line}: \
             run the tests with FREYJA_UPDATE_HEADER=1"
        );
    }
}

#[test]
fn the_header_compiles_alone_in_every_standard_without_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let standards = [
        (Language::C, ["c99", "c11", "c17"]),
        (Language::Cpp, ["c++11", "c++17", "c++20"]),
    ];
    for (language, standards) in standards {
        let source = directory.path().join(language.file_name("alone"));
        // Initialising from the macro is part of what must compile.
        let text = "#include <freyja.h>\n\
                    int main(void) { freyja_options o = FREYJA_OPTIONS_INIT; return o.struct_size == 0; }\n";
        std::fs::write(&source, text).unwrap();
        for standard in standards {
            let output = compiler(language)
                .arg(format!("-std={standard}"))
                .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"])
                .arg(&source)
                .output()
                .unwrap();
            let complaints = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{standard}: {complaints}");
        }
    }
}

#[test]
fn a_missing_declaration_would_be_noticed() {
    // Guards the test above against a compiler that is called so that it accepts anything.
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("wrong.c");
    std::fs::write(&source, "#include <freyja.h>\nfreyja_nothing x;\n").unwrap();
    let output = compiler(Language::C)
        .arg("-fsyntax-only")
        .arg(&source)
        .output()
        .unwrap();
    assert!(!output.status.success());
}
