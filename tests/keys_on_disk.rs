//! Whatever a store promises with keys in memory it promises with keys on disk: the same tests once more, which see by the
//! name of this program what they are to test. The tests of crashes draw where the keys are.

mod expiry;
mod faults;
mod image;
mod iterate;
mod store;
