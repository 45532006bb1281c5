//! What of the slabs is wasted.

use super::{none, table};
use crate::results::Results;
use crate::transcript::State;

pub fn section(results: &Results) -> String {
    let headings = ["wasted, fresh", "wasted, churned", "wasted, a tenth left"];
    let table = table(results, &headings, |figures| {
        let reduced = figures.reduced().map(|reduced| reduced.after);
        let states = [Some(figures.fresh()), figures.churned(), reduced];
        states
            .map(|state| state.map_or_else(none, fragmentation))
            .to_vec()
    });
    format!(
        "## Fragmentation\n\n\
         Wasted: bytes of slabs that belong to no key, divided by all bytes of slabs, as the store's statistics say.\n\n{table}"
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
