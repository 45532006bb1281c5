//! How far a fill strays from a steady line.

use crate::transcript::Sample;

/// The line through nothing at no keys that is nearest to the samples, by least squares.
pub struct SteadyLine {
    bytes_per_key: f64,
}

impl SteadyLine {
    pub fn through(samples: &[Sample]) -> SteadyLine {
        let (mut products, mut squares) = (0.0, 0.0);
        for sample in samples {
            products += sample.keys as f64 * sample.resident as f64;
            squares += (sample.keys as f64).powi(2);
        }
        SteadyLine {
            bytes_per_key: products / squares,
        }
    }

    /// The sample of which `bytes` is farthest above the line in proportion, and how many times as high as the line it is.
    pub fn worst<'a>(
        &self,
        samples: &'a [Sample],
        bytes: impl Fn(&Sample) -> u64,
    ) -> (&'a Sample, f64) {
        let ratio =
            |sample: &Sample| bytes(sample) as f64 / (self.bytes_per_key * sample.keys as f64);
        let worst = samples
            .iter()
            .max_by(|one, other| ratio(one).total_cmp(&ratio(other)))
            .expect("a fill has samples");
        (worst, ratio(worst))
    }
}
