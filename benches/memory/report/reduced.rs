//! Whether memory goes back to the system when keys go.

use super::{none, table};
use crate::results::Results;

pub fn section(results: &Results) -> String {
    let headings = [
        "all keys, MB",
        "a tenth left, MB",
        "fresh with that tenth, MB",
        "left / fresh",
    ];
    let table = table(results, &headings, |figures| {
        let Some(reduced) = figures.reduced() else {
            return vec![none(); headings.len()];
        };
        let (left, fresh) = (reduced.after.resident, reduced.never_more.resident);
        let megabytes = |bytes: u64| format!("{:.2}", bytes as f64 / 1e6);
        vec![
            megabytes(reduced.before.resident),
            megabytes(left),
            megabytes(fresh),
            format!("{:.3}", left as f64 / fresh as f64),
        ]
    });
    format!(
        "## After deleting nine keys of ten\n\n\
         All RAM, keys included, looked at as soon as the last delete has returned, beside that of a process which put only the keys \
         that are left.\n\n{table}"
    )
}
