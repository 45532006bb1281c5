//! Memory that Freyja manages itself.

pub mod epoch;
