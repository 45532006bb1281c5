//! What of the slabs is wasted, and the slowest put.

use super::{none, table};
use crate::results::Results;
use crate::transcript::State;

pub fn section(results: &Results) -> String {
    let headings = [
        "wasted, fresh",
        "wasted, churned",
        "wasted, a tenth left",
        "slowest put, µs",
    ];
    let table = table(results, &headings, |figures| {
        let states = [figures.fresh(), figures.churned(), figures.reduced()];
        let mut cells = states.map(fragmentation).to_vec();
        let slowest = figures.churn.slowest_put_nanoseconds as f64 / 1e3;
        cells.push(format!("{slowest:.0}"));
        cells
    });
    format!(
        "## Fragmentation, and the slowest put\n\n\
         Wasted: bytes of slabs that belong to no key, divided by all bytes of slabs, as the store's statistics say. The slowest put is \
         that of\nthe fill; for the store it includes work on files, and for both whatever else the machine did meanwhile.\n\n{table}"
    )
}

/// The part of the slabs that no key takes.
fn fragmentation(state: &State) -> String {
    match state.counters {
        Some(counters) if counters.slab_allocated > 0 => {
            let wasted = counters.slab_wasted as f64 / counters.slab_allocated as f64;
            format!("{wasted:.3}")
        }
        _ => none(),
    }
}
