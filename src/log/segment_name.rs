//! File names of segments: sixteen lower-case hexadecimal digits of the id, then `.seg`, or `.new` until the header is
//! durable.

use std::ffi::OsStr;

const DIGITS: usize = 16;
const SUFFIX: &str = ".seg";
const NEW_SUFFIX: &str = ".new";

/// The name of the file that holds segment `id`.
pub fn file_name(id: u64) -> String {
    format!("{id:016x}{SUFFIX}")
}

/// The name under which the file of segment `id` is created. It gets its proper name once its header is durable, so
/// that no crash leaves a segment without a header.
pub fn new_file_name(id: u64) -> String {
    format!("{id:016x}{NEW_SUFFIX}")
}

/// Whether a file called `name` is a segment whose creation was cut short; it holds no record.
pub fn is_new(name: &OsStr) -> bool {
    parse_with(name, NEW_SUFFIX).is_some()
}

/// The id of the segment that a file called `name` holds; `None` for every name that [`file_name`] does not
/// make of an id from 1 upwards.
pub fn parse(name: &OsStr) -> Option<u64> {
    parse_with(name, SUFFIX)
}

fn parse_with(name: &OsStr, suffix: &str) -> Option<u64> {
    let digits = name.to_str()?.strip_suffix(suffix)?;
    let lower_hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if digits.len() != DIGITS || !digits.bytes().all(lower_hexadecimal) {
        return None;
    }
    u64::from_str_radix(digits, 16).ok().filter(|&id| id != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_reads_back_from_its_name() {
        for id in [1, 2, 0xabcdef, u64::MAX - 1, u64::MAX] {
            assert_eq!(parse(OsStr::new(&file_name(id))), Some(id));
        }
        assert_eq!(file_name(0x1f), "000000000000001f.seg");
    }

    #[test]
    fn names_sort_as_their_ids_do() {
        let ids = [1, 9, 10, 255, 256, 1 << 40, u64::MAX];
        let names: Vec<String> = ids.iter().map(|&id| file_name(id)).collect();
        assert!(names.is_sorted());
    }

    #[test]
    fn every_other_name_is_refused() {
        for name in [
            "",
            ".seg",
            "0000000000000000.seg",
            "000000000000001F.seg",
            "00000000000000001.seg",
            "000000000000001.seg",
            "+000000000000001.seg",
            "000000000000001g.seg",
            "0000000000000001.SEG",
            "0000000000000001.seg ",
            " 000000000000001.seg",
            "0000000000000001.seg.tmp",
            "0000000000000001",
            "00000000000000٠1.seg",
            "LOCK",
        ] {
            assert_eq!(parse(OsStr::new(name)), None, "{name:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_not_text_is_refused() {
        use std::os::unix::ffi::OsStrExt;
        assert_eq!(parse(OsStr::from_bytes(b"000000000000001\xff.seg")), None);
    }
}
