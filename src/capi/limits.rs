//! Limits that callers can rely on.

/// Longest key in bytes. The shortest has 0.
pub const FREYJA_MAX_KEY_LEN: usize = 65536;

/// Longest value in bytes. The shortest has 0.
pub const FREYJA_MAX_VALUE_LEN: usize = 2147483647;

/// Most bytes of a batch, where each operation counts the bytes of its key and value and FREYJA_OPERATION_BYTES.
pub const FREYJA_MAX_BATCH_BYTES: u32 = 4294967295;

/// What an operation counts in a batch besides its key and value.
pub const FREYJA_OPERATION_BYTES: u32 = 48;

/// In the length of a key in the buffer of freyja_write_packed: the key is deleted.
pub const FREYJA_PACKED_DELETES: u32 = 2147483648;

/// In the length of a key in the buffer of freyja_write_packed: the pair expires.
pub const FREYJA_PACKED_EXPIRES: u32 = 1073741824;

// The numbers are spelled out because the header's generator does not evaluate expressions.
const _: () = assert!(
    FREYJA_MAX_KEY_LEN == crate::log::record::MAX_KEY_LEN
        && FREYJA_MAX_VALUE_LEN == crate::log::record::MAX_VALUE_LEN
        && FREYJA_MAX_BATCH_BYTES as u64 == crate::store::MAX_BATCH_BYTES
        && FREYJA_OPERATION_BYTES as u64 == crate::store::OPERATION_BYTES
        && FREYJA_PACKED_DELETES == crate::store::DELETES
        && FREYJA_PACKED_EXPIRES == crate::store::EXPIRES
);

// FREYJA_BUDGET_AUTO is a macro, because the header's generator would leave out its suffix.
const _: () = assert!(crate::store::MEMORY_BUDGET_AUTO == u64::MAX);
