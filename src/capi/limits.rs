//! Limits that callers can rely on.

/// Longest key in bytes. The shortest has 0.
pub const FREYJA_MAX_KEY_LEN: usize = 65536;

/// Longest value in bytes. The shortest has 0.
pub const FREYJA_MAX_VALUE_LEN: usize = 2147483647;

// The numbers are spelled out because the header's generator does not evaluate expressions.
const _: () = assert!(
    FREYJA_MAX_KEY_LEN == crate::log::record::MAX_KEY_LEN
        && FREYJA_MAX_VALUE_LEN == crate::log::record::MAX_VALUE_LEN
);
