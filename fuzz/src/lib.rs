//! What the fuzzing targets share.

pub mod c;
pub mod input;
pub mod stores;
