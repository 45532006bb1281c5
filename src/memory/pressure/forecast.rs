//! What will be in use, by the straight line that lies nearest to the latest samples (least squares).
//!
//! Two lines are tried: through all samples, and through the latest twelve, which know of a turn earlier but follow noise, too.
//! The latter counts if its mean square error, for as many degrees of freedom as it leaves, is less than a fourth of the other's.

use std::time::Duration;

use super::window::{LEAST_SAMPLES, Sample};

/// How far ahead is looked, in seconds.
pub const HORIZONS: [u64; 3] = [30, 60, 120];

/// What is expected to be in use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// Bytes in use after each of [`HORIZONS`].
    pub used: [u64; 3],
    /// How well the samples lie on a line, and how many they are: from 0, not at all, to 1.
    pub confidence: f64,
}

/// A straight line: bytes by seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// Bytes a second.
    slope: f64,
    confidence: f64,
    /// Mean square distance of samples, for the choice between lines.
    error: f64,
}

impl Forecast {
    pub(super) fn new(line: &Line, used: u64, budget: u64) -> Self {
        let ceiling = if budget > 0 { budget } else { u64::MAX };
        let after = |seconds: u64| {
            let bytes = used as f64 + line.slope * seconds as f64;
            // What is more than fits is refused.
            (bytes.max(0.0) as u64).min(ceiling)
        };
        Self {
            used: HORIZONS.map(after),
            confidence: line.confidence,
        }
    }
}

impl Line {
    /// The better line through `samples`; `None` if they are of one moment.
    pub(super) fn through(samples: impl ExactSizeIterator<Item = Sample> + Clone) -> Option<Self> {
        let all = Self::fit(samples.clone());
        let late = samples.len().saturating_sub(LEAST_SAMPLES);
        let late = Self::fit(samples.skip(late));
        match (all, late) {
            (Some(all), Some(late)) if late.error * 4.0 < all.error => Some(late),
            (all, late) => all.or(late),
        }
    }

    fn fit(samples: impl ExactSizeIterator<Item = Sample> + Clone) -> Option<Self> {
        let count = samples.len() as f64;
        let first = samples.clone().next()?;
        // From the first sample on, so that no digits are lost.
        let points = samples.map(|sample| {
            let seconds = sample.at.saturating_sub(first.at).as_secs_f64();
            (seconds, sample.used as f64 - first.used as f64)
        });
        let (mut sum_x, mut sum_y) = (0.0, 0.0);
        for (x, y) in points.clone() {
            sum_x += x;
            sum_y += y;
        }
        let (mean_x, mean_y) = (sum_x / count, sum_y / count);
        let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
        for (x, y) in points {
            xx += (x - mean_x) * (x - mean_x);
            xy += (x - mean_x) * (y - mean_y);
            yy += (y - mean_y) * (y - mean_y);
        }
        if xx <= 0.0 || count < 3.0 {
            return None;
        }
        let residue = (yy - xy * xy / xx).max(0.0);
        // The coefficient of determination. What hardly moves lies on a level line as well as can be.
        let still = 0.001 * first.used as f64;
        let fit = match yy <= count * still * still {
            true => 1.0,
            false => 1.0 - residue / yy,
        };
        // So little is known after a turn, or at first, that no more than a half is sure.
        let enough = (count / (2 * LEAST_SAMPLES) as f64).min(1.0);
        Some(Self {
            slope: xy / xx,
            confidence: (fit * enough).clamp(0.0, 1.0),
            error: residue / (count - 2.0),
        })
    }

    /// How long it takes from `used` to `critical` bytes; `None` if it does not go there.
    pub(super) fn time_until(&self, used: u64, critical: u64) -> Option<Duration> {
        let missing = critical.saturating_sub(used) as f64;
        let seconds = missing / self.slope;
        // Beyond a month it does not go anywhere.
        (self.slope > 0.0 && seconds < 2_592_000.0).then(|| Duration::from_secs_f64(seconds))
    }
}
