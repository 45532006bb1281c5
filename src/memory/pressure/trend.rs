//! Where what is in use goes, in parts of itself a sample.

/// Up to this part of what is used, a change a sample counts for none.
const STABLE: f64 = 0.005;

/// Above this part, growth is critical.
const CRITICAL: f64 = 0.02;

/// Where what is in use goes: its mean change from sample to sample, over the latest twelve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trend {
    /// More than half a per cent a sample comes back.
    Decreasing = 0,
    /// Within half a per cent.
    #[default]
    Stable = 1,
    /// Half a per cent to two per cent more with each sample.
    Increasing = 2,
    /// More than two per cent more with each sample.
    Critical = 3,
}

impl Trend {
    /// The trend of what was `used`, the latest first.
    pub(super) fn of(used: impl Iterator<Item = u64>) -> Self {
        let (mut latest, mut oldest, mut steps) = (None, 0, -1_i32);
        for used in used {
            latest = latest.or(Some(used));
            oldest = used;
            steps += 1;
        }
        let (Some(latest), 1..) = (latest, steps) else {
            return Self::Stable;
        };
        if latest == oldest {
            return Self::Stable;
        }
        if oldest == 0 {
            return Self::Critical;
        }
        // By the geometric mean, so that one large step counts as much as many small ones that amount to it.
        let change = (latest as f64 / oldest as f64).powf(1.0 / f64::from(steps)) - 1.0;
        match change {
            _ if change < -STABLE => Self::Decreasing,
            _ if change <= STABLE => Self::Stable,
            _ if change <= CRITICAL => Self::Increasing,
            _ => Self::Critical,
        }
    }
}
