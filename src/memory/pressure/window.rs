//! The latest samples.

use std::collections::VecDeque;
use std::time::Duration;

use super::forecast::Line;
use super::trend::Trend;

/// So many samples are kept.
pub const WINDOW: usize = 60;

/// So many are needed for a forecast.
pub const LEAST_SAMPLES: usize = 12;

/// What was in use at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When, by a clock that never steps back.
    pub at: Duration,
    /// Bytes in use.
    pub used: u64,
    /// The budget in bytes; 0 without a limit.
    pub budget: u64,
}

/// The latest samples of one budget, the oldest first.
#[derive(Debug)]
pub(super) struct Window {
    samples: VecDeque<Sample>,
}

impl Default for Window {
    /// All memory that it will ever need is had now.
    fn default() -> Self {
        Self {
            samples: VecDeque::with_capacity(WINDOW),
        }
    }
}

impl Window {
    pub(super) fn push(&mut self, sample: Sample) {
        let last = self.samples.back();
        if last.is_some_and(|last| last.budget != sample.budget || last.at > sample.at) {
            self.samples.clear();
        }
        if self.samples.len() == WINDOW {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    pub(super) fn len(&self) -> usize {
        self.samples.len()
    }

    pub(super) fn last(&self) -> Option<Sample> {
        self.samples.back().copied()
    }

    /// The line through what counts of the samples; `None` if they are too few.
    pub(super) fn line(&self) -> Option<Line> {
        if self.samples.len() < LEAST_SAMPLES {
            return None;
        }
        Line::through(self.samples.iter().copied())
    }

    /// Bytes a second from the first sample to the last; 0 if there are not two.
    pub(super) fn rate(&self) -> f64 {
        let (Some(first), Some(last)) = (self.samples.front(), self.samples.back()) else {
            return 0.0;
        };
        let seconds = last.at.saturating_sub(first.at).as_secs_f64();
        match seconds > 0.0 {
            true => (last.used as f64 - first.used as f64) / seconds,
            false => 0.0,
        }
    }

    pub(super) fn trend(&self) -> Trend {
        let latest = self.samples.iter().rev().take(LEAST_SAMPLES);
        Trend::of(latest.map(|sample| sample.used))
    }
}
