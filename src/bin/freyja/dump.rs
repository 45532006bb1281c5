//! All pairs as lines of text, and back. `docs/tool.md` describes the format.

use std::io::{BufRead, Read, Write};
use std::path::Path;

use freyja::log::record::{MAX_KEY_LEN, MAX_VALUE_LEN};
use freyja::store::{Batch, OpenMode, Store};

use crate::Answer;
use crate::failure::Failure;
use crate::pairs;
use crate::text;

const FIRST_LINE: &[u8] = b"freyja dump 1";
/// Each byte takes four characters at most; a number, two tabs and the end of the line come besides.
const LONGEST_LINE: u64 = 4 * (MAX_KEY_LEN as u64 + MAX_VALUE_LEN as u64) + 64;
/// Pairs are written together up to so many bytes, or so many pairs.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_PAIRS: u64 = 1000;

/// Prints all pairs.
pub fn dump(path: &Path, output: &mut dyn Write) -> Result<Answer, Failure> {
    output.write_all(FIRST_LINE)?;
    output.write_all(b"\n")?;
    let mut count = 0_u64;
    let answer = pairs::for_each(path, &mut |pair| {
        count += 1;
        text::write_escaped(output, pair.key)?;
        output.write_all(b"\t")?;
        text::write_escaped(output, pair.value)?;
        if let Some(moment) = pair.expires_at_ms {
            write!(output, "\t{moment}")?;
        }
        output.write_all(b"\n")
    })?;
    writeln!(output, "end {count}")?;
    Ok(answer)
}

/// Puts the pairs of a dump.
pub fn load(path: &Path, input: &mut dyn BufRead) -> Result<Answer, Failure> {
    let mut lines = Lines {
        input,
        number: 0,
        line: Vec::new(),
    };
    if lines.next()? != Some(FIRST_LINE) {
        return Err(lines.wrong("it is no dump of this version of Freyja"));
    }
    let store = Store::open(path, &pairs::writing(OpenMode::CreateIfMissing))?;
    let (mut count, mut bytes, mut batch) = (0_u64, 0, Batch::new());
    loop {
        let Some(line) = lines.next()? else {
            return Err(lines.wrong("the dump is cut short: its last line is missing"));
        };
        // Every other line has a tab.
        if let Some(said) = line.strip_prefix(b"end ")
            && !said.contains(&b'\t')
        {
            if said != count.to_string().as_bytes() {
                return Err(lines.wrong(&format!("there were {count} pairs before it")));
            }
            break;
        }
        bytes += line.len();
        if let Err(what) = add(&mut batch, line) {
            return Err(lines.wrong(&what));
        }
        count += 1;
        if bytes >= BATCH_BYTES || count.is_multiple_of(BATCH_PAIRS) {
            store.write(&batch)?;
            batch.clear();
            bytes = 0;
        }
    }
    store.write(&batch)?;
    store.close()?;
    Ok(Answer::Yes)
}

/// Adds the pair in `line`, or says what is wrong with it.
fn add(batch: &mut Batch, line: &[u8]) -> Result<(), String> {
    let mut fields = line.split(|byte| *byte == b'\t');
    let (Some(key), Some(value)) = (fields.next(), fields.next()) else {
        return Err("it has no tab between a key and a value".into());
    };
    let expires_at_ms = match fields.next() {
        None => 0,
        Some(number) => std::str::from_utf8(number)
            .ok()
            .and_then(|number| number.parse().ok())
            .filter(|&moment| moment > 0)
            .ok_or("the expiry is not a number of milliseconds")?,
    };
    if fields.next().is_some() {
        return Err("it has more than two tabs".into());
    }
    let (key, value) = (text::unescaped(key)?, text::unescaped(value)?);
    batch
        .put_expiring(&key, &value, expires_at_ms)
        .map_err(|error| error.to_string())
}

struct Lines<'i> {
    input: &'i mut dyn BufRead,
    number: u64,
    line: Vec<u8>,
}

impl Lines<'_> {
    /// The next line without its end; a last line without an end is none.
    fn next(&mut self) -> Result<Option<&[u8]>, Failure> {
        self.line.clear();
        self.number += 1;
        let mut limited = (&mut *self.input).take(LONGEST_LINE);
        limited.read_until(b'\n', &mut self.line)?;
        Ok(match self.line.split_last() {
            Some((b'\n', line)) => Some(line),
            _ => None,
        })
    }

    fn wrong(&self, what: &str) -> Failure {
        Failure::Dump {
            line: self.number,
            what: format!("{what}; pairs of lines before it may have been put"),
        }
    }
}
