//! The C programs of `c_tests`, built against the shipped library.

use std::path::{Path, PathBuf};
use std::process::Output;

use super::library::{library, native_libraries, scratch_folder};
use super::{Language, compiler};

/// How a program is built and run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// With the shared library.
    Shared,
    /// With the static library.
    Archive,
    /// With the shared library, checked for overruns, leaks and undefined behaviour on the C side.
    Sanitized,
    /// With the shared library, under valgrind.
    Valgrind,
}

/// What a program wrote to its outputs.
pub fn told(output: &Output) -> String {
    let texts = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    texts.concat()
}

/// The program of `source`, built for `way`.
pub fn compiled(way: Way, source: &Path) -> PathBuf {
    let folder = scratch_folder().join(format!("{way:?}"));
    std::fs::create_dir_all(&folder).unwrap();
    let program = folder.join(source.file_stem().unwrap());
    let mut command = compiler(Language::C);
    command
        .args(["-std=c11", "-D_GNU_SOURCE", "-pthread"])
        .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror"])
        .arg(source)
        .arg("-o")
        .arg(&program);
    let library = library();
    match way {
        Way::Archive => {
            command.arg(&library.archive).args(native_libraries());
        }
        _ => {
            command.arg("-L").arg(&library.folder).arg("-lfreyja");
            command.arg(format!("-Wl,-rpath,{}", library.folder.display()));
        }
    }
    if way == Way::Sanitized {
        command.args(["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    program
}
