//! A real set of keys: the paths of the files in a distribution's packages, or a file that the user names.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Paths in a file of their own, one a line, none twice.
pub struct RealPaths {
    pub file: PathBuf,
    pub count: u64,
    /// Where they came from.
    pub source: String,
}

/// Writes the first `most` paths into `directory`: those of `given`, else of apt-file's index under `apt_lists`, else of
/// the lists of installed files under `dpkg_lists`. `None` if there is none of these.
pub fn gather(
    given: Option<&Path>,
    apt_lists: &Path,
    dpkg_lists: &Path,
    directory: &Path,
    most: u64,
) -> Option<RealPaths> {
    let indexes = files_where(apt_lists, |name| name.contains("_Contents-"));
    let lists = files_where(dpkg_lists, |name| name.ends_with(".list"));
    let mut paths = Vec::new();
    let source = if let Some(given) = given {
        collect(open(given), &mut paths, |line| line);
        let name = given.file_name().unwrap_or_default();
        format!("the lines of {}", name.to_string_lossy())
    } else if !indexes.is_empty() {
        indexes
            .iter()
            .for_each(|index| collect_index(index, &mut paths));
        "the files of all packages, from apt-file's Contents index".to_owned()
    } else if !lists.is_empty() {
        for list in &lists {
            collect(open(list), &mut paths, |line| line);
        }
        "the files of the installed packages, from dpkg's lists".to_owned()
    } else {
        return None;
    };
    paths.sort_unstable();
    paths.dedup();
    paths.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    let file = directory.join("paths");
    write(&file, &paths);
    Some(RealPaths {
        file,
        count: paths.len() as u64,
        source,
    })
}

fn files_where(directory: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let named = entries.filter(|entry| wanted(&entry.file_name().to_string_lossy()));
    let mut files: Vec<PathBuf> = named.map(|entry| entry.path()).collect();
    files.sort_unstable();
    files
}

fn open(file: &Path) -> BufReader<File> {
    BufReader::new(File::open(file).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
}

fn collect(mut lines: impl BufRead, paths: &mut Vec<Box<[u8]>>, path_of: impl Fn(&[u8]) -> &[u8]) {
    let mut line = Vec::new();
    while lines
        .read_until(b'\n', &mut line)
        .expect("lines can be read")
        > 0
    {
        let path = path_of(line.strip_suffix(b"\n").unwrap_or(&line));
        if !path.is_empty() {
            paths.push(path.into());
        }
        line.clear();
    }
}

/// Reads an index of apt, however it is compressed: lines of a path, white space, and the packages that have it.
fn collect_index(index: &Path, paths: &mut Vec<Box<[u8]>>) {
    let mut reader = Command::new("/usr/lib/apt/apt-helper")
        .arg("cat-file")
        .arg(index)
        .stdout(Stdio::piped())
        .spawn()
        .expect("apt's helper, which comes with apt, can be started");
    let output = reader.stdout.take().expect("its output is a pipe");
    collect(BufReader::new(output), paths, |line| {
        let packages = line.iter().rposition(u8::is_ascii_whitespace);
        line[..packages.unwrap_or(0)].trim_ascii_end()
    });
    let status = reader.wait().expect("apt's helper ends");
    assert!(status.success(), "{}: {status}", index.display());
}

fn write(file: &Path, paths: &[Box<[u8]>]) {
    let mut lines = BufWriter::new(File::create(file).expect("a file for the paths can be made"));
    for path in paths {
        lines
            .write_all(path)
            .and_then(|()| lines.write_all(b"\n"))
            .expect("the paths can be written");
    }
    lines.flush().expect("the paths can be written");
}
