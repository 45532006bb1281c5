//! What shows while keys are put: whether memory is needed twice.

use super::steady::SteadyLine;
use super::{grouped, table};
use crate::results::{Figures, Results};
use crate::transcript::Sample;

pub fn section(results: &Results) -> String {
    let headings = [
        "worst sample",
        "at keys",
        "from a tenth on",
        "at keys",
        "seen in between",
        "at keys",
        "highest besides the key, B",
    ];
    let table = table(results, &headings, |figures| {
        let all = &*figures.filled.samples;
        let later = &all[all.len() / 10..];
        let line = SteadyLine::through(all);
        let worst = [
            line.worst(all, |sample| sample.resident),
            line.worst(later, |sample| sample.resident),
            line.worst(later, |sample| sample.highest),
        ];
        let cells = worst.map(|(sample, ratio)| [format!("{ratio:.3}"), grouped(sample.keys)]);
        let mut cells = cells.concat();
        cells.push(format!("{:.2}", highest_besides_key(figures, later)));
        cells
    });
    format!(
        "## While filling\n\n\
         A sample is taken at every 1 % of the fill. Worst sample: its RAM, keys included, divided by the steady line, which is the line \
         through\nzero that is nearest to all samples; then the same from a tenth of the fill on, where the store is not small any more. \
         Seen in between:\nthe worst of looks every 2 ms, from a tenth on, which see a spike inside one put too; the highest cost in \
         bytes is of these.\n\n{table}"
    )
}

/// The most that was seen up to these samples, in bytes a key besides the keys that were there.
fn highest_besides_key(figures: &Figures, samples: &[Sample]) -> f64 {
    let costs = samples.iter().map(|sample| {
        let key_bytes = figures.key_bytes_in_memory(sample.key_bytes);
        (sample.highest as f64 - key_bytes as f64) / sample.keys as f64
    });
    costs.fold(f64::MIN, f64::max)
}
