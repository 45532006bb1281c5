//! What a small store costs.

use super::grouped;
use crate::results::Results;
use crate::table::Table;

pub fn section(results: &Results) -> String {
    let headings = ["contestant", "empty, B", "1,000 keys, B"];
    let mut table = Table::new(1, &headings);
    for small in &results.small {
        let mut cells = vec![small.kind.title().to_owned()];
        for state in &small.states {
            cells.push(grouped(state.resident));
        }
        table.add(cells);
    }
    format!(
        "## Small stores\n\n\
         All bytes since before the contestant was opened, with the keys, which have 16 bytes; what the store takes besides its index, as \
         for its\nthread and its open files, included.\n\n{table}"
    )
}
