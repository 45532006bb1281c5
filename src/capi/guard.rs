//! The guard around every entry: no panic reaches a caller.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::status::freyja_status;
use crate::error::{Error, ErrorKind, Result};

/// Runs `body`; a panic becomes an error of kind [`ErrorKind::Panic`]. What the body may leave half-done is
/// not used again: the caller marks the handle.
#[inline(always)]
pub fn run(body: impl FnOnce() -> Result<freyja_status>) -> Result<freyja_status> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| Err(defect(payload)))
}

#[cold]
fn defect(payload: Box<dyn Any + Send>) -> Error {
    let what = match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => match payload.downcast::<&'static str>() {
            Ok(text) => (*text).to_string(),
            Err(payload) => {
                // A payload of another type might panic once more when dropped.
                std::mem::forget(payload);
                "no message".to_string()
            }
        },
    };
    Error::new(
        ErrorKind::Panic,
        format!("defect in Freyja, please report it: {what}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use freyja_status::*;

    #[test]
    fn what_the_body_answers_is_answered() {
        assert_eq!(run(|| Ok(FREYJA_RANGE)).unwrap(), FREYJA_RANGE);
        let error = run(|| Err(Error::new(ErrorKind::Busy, "x"))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
    }

    #[test]
    fn a_panic_becomes_an_error_with_its_message() {
        let error = run(|| panic!("number {}", 7)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Panic);
        assert!(error.message().ends_with("number 7"));
        let error = run(|| panic!("plain")).unwrap_err();
        assert!(error.message().ends_with("plain"));
    }

    #[test]
    fn a_payload_that_panics_when_dropped_does_not_get_out() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("dropped");
            }
        }
        let error = run(|| std::panic::panic_any(Bomb)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Panic);
    }

    #[test]
    fn values_of_the_body_are_dropped_when_it_panics() {
        let dropped = std::cell::Cell::new(false);
        struct Notes<'a>(&'a std::cell::Cell<bool>);
        impl Drop for Notes<'_> {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let notes = Notes(&dropped);
        let outcome = run(move || {
            let _notes = notes;
            panic!("on the way")
        });
        assert!(outcome.is_err() && dropped.get());
    }
}
