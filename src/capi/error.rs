//! The error object: fixed size, allocated by the caller, nothing to free.

use std::ffi::{c_char, c_int};

use super::arguments::Output;
use super::status::code_of;
use crate::error::Error;

/// Bytes of a message, the terminating NUL included. The struct below spells it out for the header.
const MESSAGE_BYTES: usize = 496;

/// The details of a failure. The caller provides the memory; Freyja fills it in.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct freyja_error {
    /// The status that the failed function returned.
    pub code: i32,
    /// The operating system's errno, 0 if the failure did not come from a system call.
    pub sys_errno: i32,
    /// Offset in bytes into the file that the message names, 0 if none is known.
    pub offset: u64,
    /// One sentence in UTF-8, ended by NUL: which file, what is wrong, what to do.
    pub message: [c_char; 496],
}

const _: () = assert!(size_of::<freyja_error>() == 512);

impl From<&Error> for freyja_error {
    fn from(error: &Error) -> Self {
        Self {
            code: code_of(error),
            sys_errno: error.os_code(),
            offset: error.offset(),
            message: terminated(error.message()),
        }
    }
}

/// The beginning of `text`, cut between characters, with a NUL behind it and none inside.
fn terminated(text: &str) -> [c_char; MESSAGE_BYTES] {
    let mut message = [0; MESSAGE_BYTES];
    let mut end = text.len().min(MESSAGE_BYTES - 1);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    for (place, byte) in message.iter_mut().zip(text[..end].bytes()) {
        *place = if byte == 0 { b'?' } else { byte } as c_char;
    }
    message
}

/// Stores the details of `error` if the caller wants them, and answers its status.
pub fn report(error: &Error, details: Option<Output<freyja_error>>) -> c_int {
    if let Some(details) = details {
        details.set(error.into());
    }
    code_of(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn message_of(text: &str) -> String {
        let object = freyja_error::from(&Error::new(ErrorKind::Invalid, text));
        let bytes: Vec<u8> = object.message.iter().map(|byte| *byte as u8).collect();
        let end = bytes.iter().position(|byte| *byte == 0).unwrap();
        assert!(bytes[end..].iter().all(|byte| *byte == 0));
        String::from_utf8(bytes[..end].to_vec()).unwrap()
    }

    #[test]
    fn a_message_that_fits_is_whole() {
        let longest = "m".repeat(MESSAGE_BYTES - 1);
        assert_eq!(message_of(&longest), longest);
        assert_eq!(message_of(""), "");
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        for shift in 0..4 {
            let text = format!("{}{}", "x".repeat(shift), "😀".repeat(200));
            let message = message_of(&text);
            assert!(text.starts_with(&message));
            assert!((MESSAGE_BYTES - 4..MESSAGE_BYTES).contains(&message.len()));
        }
    }

    #[test]
    fn a_message_has_no_zero_byte_inside() {
        assert_eq!(message_of("a\0b"), "a?b");
    }
}
