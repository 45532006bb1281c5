//! Examining a store that nobody has open: [`verify()`] reads everything and says what is wrong, [`salvage()`] hands out
//! what can be read, [`repair()`] puts that into a store in another place. None of them changes the store.
//!
//! They use what opening uses: the survey, the scanner, and an index filled from the log. What is more is that all
//! bytes are read, and that three witnesses are heard about whose record a damaged one was: its own bytes, the hints of its segment, and the
//! image of the index.

mod finding;
mod image_comparison;
mod images;
mod log_pass;
mod pending;
mod repair;
mod report;
mod salvage;
mod session;
mod verify;

pub use finding::{Finding, FindingKind, Severity};
pub use repair::{repair, repair_on};
pub use report::{RepairReport, VerifyReport};
pub use salvage::{Pair, Salvage, salvage, salvage_on};
pub use verify::{verify, verify_on};

/// Gets each finding as soon as it is certain.
pub type Listener<'l> = dyn FnMut(&Finding) + 'l;
