//! Runs workloads on a simulated disk, crashes it at every call, and says whether what is recovered is right.
//!
//! What is right: the state after exactly one prefix of the commit order that includes every operation acknowledged as
//! durable; the same whether or not there are images; and the same again at every later open. Everything here answers
//! with an error that tells how to replay it, so that the suite of deliberate faults can use it too.

pub mod crashes;
pub mod examination;
pub mod history;
pub mod operation;
pub mod setting;
pub mod workload;

use std::path::Path;
use std::sync::Arc;

use freyja::store::{Options, Store};
use freyja::vfs::SimulatedDisk;

/// The directory of the store on every simulated disk.
pub const STORE: &str = "/store";

/// A description of what is wrong, or of where.
pub type Told<T> = Result<T, String>;

/// A seed for the crash number `number` of a disk that began with `seed`. A disk draws the salts of segments from its seed:
/// were one used twice, what an old segment left behind would look valid in a new one.
pub fn crash_seed(seed: u64, number: u64) -> u64 {
    (seed << 20 | number).wrapping_add(0x5eed_0000_0000_0000)
}

/// Opens the store on `disk`; `what` goes before the message of a failure.
pub fn open(disk: &SimulatedDisk, options: &Options, what: &str) -> Told<Store> {
    let opened = Store::open_on(Arc::new(disk.clone()), Path::new(STORE), options);
    opened.map_err(|error| format!("{what} does not open: {error}"))
}

/// Turns a broken expectation into an error.
pub fn expect(holds: bool, what: impl FnOnce() -> String) -> Told<()> {
    if holds { Ok(()) } else { Err(what()) }
}
