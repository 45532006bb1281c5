//! What a small store costs.

use super::{grouped, none};
use crate::results::Results;
use crate::table::Table;

pub fn section(results: &Results) -> String {
    let headings = [
        "contestant",
        "empty, B",
        "own count, B",
        "1,000 keys, B",
        "own count, B",
    ];
    let mut table = Table::new(1, &headings);
    for small in &results.small {
        let mut cells = vec![small.kind.title().to_owned()];
        for state in &small.states {
            let own = state.counters.map(|counters| grouped(counters.memory));
            cells.extend([grouped(state.resident), own.unwrap_or_else(none)]);
        }
        table.add(cells);
    }
    format!(
        "## Small stores\n\n\
         All bytes since before the contestant was opened, with the keys, which have 16 bytes; what the store takes besides its index, as \
         for its\nthread and its open files, included.\n\n{table}"
    )
}
