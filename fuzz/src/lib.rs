//! What the fuzzing targets share.

pub mod c;
pub mod caches;
pub mod input;
pub mod stores;
