//! Bytes as text: printable ASCII characters stand for themselves, `\\` for a backslash, `\xHH` for the byte `HH`.

use std::io::{self, Write};

/// Writes `bytes` as text.
pub fn write_escaped(output: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'\\';
    for run in bytes.chunk_by(|one, other| is_plain(one) == is_plain(other)) {
        match run {
            [first, ..] if is_plain(first) => output.write_all(run)?,
            _ => {
                for byte in run {
                    match byte {
                        b'\\' => output.write_all(br"\\")?,
                        _ => write!(output, r"\x{byte:02x}")?,
                    }
                }
            }
        }
    }
    Ok(())
}

/// The bytes that `text` stands for, or what is wrong with it.
pub fn unescaped(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return Ok(bytes),
            [b'\\', b'\\', rest @ ..] => {
                bytes.push(b'\\');
                rest
            }
            [b'\\', b'x', high, low, rest @ ..] => {
                let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
                    return Err(r"\x is not followed by two hexadecimal digits".into());
                };
                bytes.push(high << 4 | low);
                rest
            }
            [b'\\', ..] => return Err(r"a backslash is followed by neither \ nor xHH".into()),
            [byte, rest @ ..] => {
                bytes.push(*byte);
                rest
            }
        };
    }
}

fn digit(byte: u8) -> Option<u8> {
    let value = char::from(byte).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_survive_and_lines_stay_lines() {
        let all: Vec<u8> = (0..=255).chain(*br"\x41\\").collect();
        let mut text = Vec::new();
        write_escaped(&mut text, &all).unwrap();
        assert!(text.iter().all(|byte| matches!(byte, b' '..=b'~')));
        assert_eq!(unescaped(&text).unwrap(), all);
    }

    #[test]
    fn what_no_bytes_are_written_as_is_refused() {
        for text in [r"\", r"\x", r"\x1", r"\xg0", r"\n", r"a\"] {
            assert!(unescaped(text.as_bytes()).is_err(), "{text}");
        }
    }
}
