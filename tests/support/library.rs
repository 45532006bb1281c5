//! The library as it is shipped: built in release mode once per test program.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::root;

/// Where the shipped artefacts are.
pub struct Library {
    /// `libfreyja.so`.
    pub shared: PathBuf,
    /// `libfreyja.a`.
    pub archive: PathBuf,
    /// A folder with the shared library under the name that the linker and the one that the loader looks for.
    pub folder: PathBuf,
}

/// The library, built at the first call.
pub fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(build)
}

/// The folder that cargo builds everything in.
fn target_folder() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()
}

/// A folder of the tests for what they build, which stays for the next run.
pub fn scratch_folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("c_api");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Runs a command of cargo on the library and answers its messages.
pub fn cargo(command: &str, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args([command, "--lib", "--target-dir"])
        .arg(target_folder())
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout).into_owned() + &errors
}

fn build() -> Library {
    let messages = cargo("build", &["--release", "--message-format=json"]);
    let artefact = |name: &str| {
        let mut texts = messages.split('"');
        let found = texts.find(|text| Path::new(text).ends_with(name));
        PathBuf::from(found.unwrap_or_else(|| panic!("cargo did not build {name}")))
    };
    let (shared, archive) = (artefact("libfreyja.so"), artefact("libfreyja.a"));
    let folder = scratch_folder().join("library");
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["libfreyja.so", "libfreyja.so.0"] {
        link(&shared, &folder.join(name));
    }
    Library {
        shared,
        archive,
        folder,
    }
}

/// Makes or replaces a symbolic link in one step, for other test programs may use it meanwhile.
fn link(target: &Path, name: &Path) {
    let new = name.with_extension(format!("new-{}", std::process::id()));
    std::os::unix::fs::symlink(target, &new).unwrap();
    std::fs::rename(&new, name).unwrap();
}

/// What a program must be linked with besides the archive, as committed.
pub fn native_libraries() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("c_tests/native_libraries.txt")).unwrap();
    text.split_whitespace().map(String::from).collect()
}
