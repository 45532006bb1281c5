//! What a key costs besides itself.

use super::{none, table};
use crate::results::{Figures, Results};

pub fn section(results: &Results) -> String {
    let headings = [
        "fresh, B",
        "own count, B",
        "difference, % of all RAM",
        "churned, B",
        "churned / fresh",
        "of all RAM",
    ];
    let table = table(results, &headings, |figures| {
        let fresh = figures.besides_key(figures.fresh().resident);
        let churned = match figures.churned() {
            None => [none(), none(), none()],
            Some(state) => {
                let churned = figures.besides_key(state.resident);
                let of_all = state.resident as f64 / figures.fresh().resident as f64;
                [
                    format!("{churned:.2}"),
                    format!("{:.3}", churned / fresh),
                    format!("{of_all:.3}"),
                ]
            }
        };
        [&[format!("{fresh:.2}")][..], &own_count(figures), &churned].concat()
    });
    format!(
        "## Besides the key's own bytes\n\n\
         Fresh: filled and nothing else. Own count: what the store's statistics say, in bytes a key besides the key, and how far all that \
         they\nsay is from all that the system says. Churned: every key replaced twice, then half of them deleted and added \
         again;\ndivided by fresh as bytes besides the key, and as all RAM.\n\n{table}"
    )
}

fn own_count(figures: &Figures) -> [String; 2] {
    let fresh = figures.fresh();
    let Some(counters) = fresh.counters else {
        return [none(), none()];
    };
    let difference = counters.memory as f64 / fresh.resident as f64 - 1.0;
    [
        format!("{:.2}", figures.besides_key(counters.memory)),
        format!("{:+.2}", difference * 100.0),
    ]
}
