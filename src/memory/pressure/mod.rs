//! Memory pressure: how full a budget is, how full it is going to be, and what is to be done about it.
//!
//! No thread and no clock is in here: whoever has them brings samples, and asks. So what was recorded can be replayed.

mod forecast;
mod level;
mod trend;
mod window;

pub use forecast::{Forecast, HORIZONS};
pub use level::{Level, Thresholds};
pub use trend::Trend;
pub use window::{LEAST_SAMPLES, Sample, WINDOW};

use std::time::Duration;

use window::Window;

/// Time between two samples.
pub const SAMPLE_INTERVAL: Duration = Duration::from_secs(5);

/// After an escalation, actions of the same or a lower level wait so long; a higher level does not wait.
pub const GRACE: Duration = Duration::from_secs(30);

/// What is known of the pressure at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Assessment {
    /// Bytes in use.
    pub used: u64,
    /// The budget in bytes; 0 without a limit.
    pub budget: u64,
    /// How full it is.
    pub level: Level,
    /// Where it goes.
    pub trend: Trend,
    /// Bytes a second that are taken in the mean, by the samples; negative if memory comes back.
    pub rate: f64,
    /// What is expected; `None` before [`LEAST_SAMPLES`].
    pub forecast: Option<Forecast>,
    /// Until what is used comes to the emergency threshold, if it goes on like this; `None` if it does not come there, or nothing
    /// is known yet.
    pub time_to_critical: Option<Duration>,
    /// How many samples this rests on.
    pub samples: usize,
}

impl Assessment {
    /// Growth is refused now.
    pub fn set_critical(&mut self) {
        self.level = Level::Emergency;
        self.time_to_critical = Some(Duration::ZERO);
    }
}

/// Watches one budget.
#[derive(Debug, Default)]
pub struct Monitor {
    window: Window,
    thresholds: Thresholds,
    last_action: Option<(Duration, Level)>,
}

impl Monitor {
    /// The thresholds that count.
    pub fn thresholds(&self) -> Thresholds {
        self.thresholds
    }

    /// Changes the thresholds from now on.
    pub fn set_thresholds(&mut self, thresholds: Thresholds) {
        self.thresholds = thresholds;
        self.end_grace();
    }

    /// What was done so far does not count any more: the next level acts at once.
    pub fn end_grace(&mut self) {
        self.last_action = None;
    }

    /// Takes a sample. Samples of one window are of one budget: another budget begins anew.
    pub fn sample(&mut self, sample: Sample) {
        self.window.push(sample);
    }

    /// When the last sample was taken.
    pub fn last_sample(&self) -> Option<Duration> {
        self.window.last().map(|sample| sample.at)
    }

    /// Whether it is time for a sample.
    pub fn is_due(&self, now: Duration) -> bool {
        let last = self.window.last();
        last.is_none_or(|last| now.saturating_sub(last.at) >= SAMPLE_INTERVAL)
    }

    /// What is known, where `used` of `budget` bytes are in use now.
    pub fn assess(&self, used: u64, budget: u64) -> Assessment {
        let line = self.window.line();
        let forecast = line.as_ref().map(|line| Forecast::new(line, used, budget));
        let critical = self.thresholds.bytes(Level::Emergency, budget);
        let time_to_critical = match &line {
            _ if budget > 0 && used >= critical => Some(Duration::ZERO),
            Some(line) if budget > 0 => line.time_until(used, critical),
            _ => None,
        };
        Assessment {
            used,
            budget,
            level: self.thresholds.level(used, budget),
            trend: self.window.trend(),
            rate: self.window.rate(),
            forecast,
            time_to_critical,
            samples: self.window.len(),
        }
    }

    /// What is to be done `now` where the level is `level`: that, unless as much was done within the time of grace.
    pub fn escalate(&mut self, now: Duration, level: Level) -> Option<Level> {
        if level == Level::Normal {
            return None;
        }
        if let Some((at, done)) = self.last_action
            && level <= done
            && now.saturating_sub(at) < GRACE
        {
            return None;
        }
        self.last_action = Some((now, level));
        Some(level)
    }
}

#[cfg(test)]
mod tests;
