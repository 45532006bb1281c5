//! Figures of others beside those that were measured.

use super::grouped;
use crate::contestants::Kind;
use crate::key_sets::KeySet;
use crate::results::Results;
use crate::table::Table;

/// A Go `map[string]*IndexEntry` with an entry of 32 bytes: length of the keys, and bytes a key of live heap with the key.
/// Figures of others, not measured by this program.
const GO_MAP: [(usize, f64); 4] = [(8, 105.9), (16, 105.9), (32, 121.9), (64, 153.9)];

/// The number of keys at which [`GO_MAP`] holds.
const KEYS: u64 = 1_000_000;

/// The lowest and the highest as the same map doubles, with keys of 16 bytes.
const GO_MAP_SWING: [f64; 2] = [86.7, 154.7];

/// `None` if nothing was measured at the same number of keys.
pub fn section(results: &Results) -> Option<String> {
    let headings = ["key", "Go, quoted, B", "Freyja, B", "Freyja / Go"];
    let mut table = Table::new(1, &headings);
    let mut measured = false;
    for (length, go) in GO_MAP {
        let set = KeySet::Fixed(length);
        if let Some(figures) = results.figures(Kind::KeysInMemory, set, KEYS) {
            let freyja = figures.fresh().resident as f64 / KEYS as f64;
            table.add(vec![
                set.title(),
                format!("{go:.1}"),
                format!("{freyja:.1}"),
                format!("{:.2}", freyja / go),
            ]);
            measured = true;
        }
    }
    let [lowest, highest] = GO_MAP_SWING;
    measured.then(|| {
        format!(
            "## Beside a map in Go\n\n\
             The figures of a Go `map[string]*IndexEntry` with an entry of 32 bytes are quoted, not measured here: live heap a key at {} \
             keys.\nWith keys of 16 bytes it swings between {lowest} and {highest} B as the map doubles. The key counts in all of them, and so it does for Freyja \
             here.\n\n{table}",
            grouped(KEYS)
        )
    })
}
