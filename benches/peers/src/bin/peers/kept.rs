//! What has been measured of a run that has not come to its end.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use serde_json::json;

/// What earlier processes of an unfinished run have printed, by what they measured.
pub struct Kept {
    file: File,
    texts: BTreeMap<String, String>,
}

impl Kept {
    /// Opens or makes the file `path`. What was measured of another `commit` does not count.
    pub fn open(path: &Path, commit: &str) -> io::Result<Self> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            read => read.unwrap_or_default(),
        };
        let mut lines = text.lines();
        let same = lines.next() == Some(&json!(commit).to_string());
        let pair = |line: &str| serde_json::from_str::<(String, String)>(line).ok();
        let texts = match same {
            true => lines.filter_map(pair).collect(),
            false => BTreeMap::new(),
        };
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        if !same {
            file.set_len(0)?;
            writeln!(file, "{}", json!(commit))?;
        }
        Ok(Self { file, texts })
    }

    /// What has been printed for `measured`; `None` if that has not been run yet.
    pub fn text(&self, measured: &str) -> Option<&str> {
        self.texts.get(measured).map(String::as_str)
    }

    /// Keeps what has been printed for `measured`.
    pub fn keep(&mut self, measured: String, text: String) -> io::Result<()> {
        writeln!(self.file, "{}", json!([&measured, &text]))?;
        self.texts.insert(measured, text);
        Ok(())
    }
}
