//! How full a budget is, in levels, each with its action.

use crate::error::{Error, ErrorKind, Result};

/// How full a budget is, and so what is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// There is enough.
    #[default]
    Normal = 0,
    /// It is watched; nothing is done.
    Monitor = 1,
    /// What waits for its next use goes back to the system.
    Gentle = 2,
    /// The index is made smaller where keys have gone.
    Aggressive = 3,
    /// Growth is refused.
    Emergency = 4,
}

/// From how many thousandths of the budget on each level begins. They rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Where [`Level::Monitor`] begins.
    pub monitor: u32,
    /// Where [`Level::Gentle`] begins.
    pub gentle: u32,
    /// Where [`Level::Aggressive`] begins.
    pub aggressive: u32,
    /// Where [`Level::Emergency`] begins.
    pub emergency: u32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            monitor: 700,
            gentle: 800,
            aggressive: 900,
            emergency: 950,
        }
    }
}

impl Thresholds {
    /// Refuses thresholds that do not rise, or are not within 1 to 1000.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn check(&self) -> Result<()> {
        let Self {
            monitor,
            gentle,
            aggressive,
            emergency,
        } = *self;
        if 0 < monitor
            && monitor < gentle
            && gentle < aggressive
            && aggressive < emergency
            && emergency <= 1000
        {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "thresholds {monitor}, {gentle}, {aggressive}, {emergency}: they are thousandths of the budget and must rise, \
                 within 1 to 1000"
            ),
        ))
    }

    /// From how many of `budget` bytes on `level` begins.
    pub fn bytes(&self, level: Level, budget: u64) -> u64 {
        let thousandths = match level {
            Level::Normal => 0,
            Level::Monitor => self.monitor,
            Level::Gentle => self.gentle,
            Level::Aggressive => self.aggressive,
            Level::Emergency => self.emergency,
        };
        (u128::from(budget) * u128::from(thousandths) / 1000) as u64
    }

    /// The level where `used` of `budget` bytes are in use; normal without a limit.
    pub fn level(&self, used: u64, budget: u64) -> Level {
        let levels = [
            Level::Emergency,
            Level::Aggressive,
            Level::Gentle,
            Level::Monitor,
        ];
        let reached = |level: &Level| budget > 0 && used >= self.bytes(*level, budget);
        levels.into_iter().find(reached).unwrap_or_default()
    }

    /// From how many of `budget` bytes on the next level above `level` begins; `None` above the highest.
    pub fn next(&self, level: Level, budget: u64) -> Option<u64> {
        let next = match level {
            Level::Normal => Level::Monitor,
            Level::Monitor => Level::Gentle,
            Level::Gentle => Level::Aggressive,
            Level::Aggressive => Level::Emergency,
            Level::Emergency => return None,
        };
        Some(self.bytes(next, budget))
    }
}
