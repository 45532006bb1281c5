//! Numbers of which a few are drawn much more often than the others.
//!
//! The method is that of Gray et al., "Quickly generating billion-record synthetic databases", 1994, which YCSB uses too. The
//! ranks are scattered over the numbers, so that the popular ones do not lie together.

use crate::pairs::mix;

/// How skewed the numbers are, as in YCSB.
const THETA: f64 = 0.99;

/// Draws of numbers below a limit.
pub struct Zipf {
    count: u64,
    alpha: f64,
    zeta: f64,
    eta: f64,
    state: u64,
}

impl Zipf {
    /// Numbers below `count`, which is at least 2.
    pub fn new(count: u64, seed: u64) -> Self {
        let zeta_of = |count: u64| {
            (1..=count)
                .map(|rank| (rank as f64).powf(-THETA))
                .sum::<f64>()
        };
        let zeta = zeta_of(count);
        Self {
            count,
            alpha: 1.0 / (1.0 - THETA),
            zeta,
            eta: (1.0 - (2.0 / count as f64).powf(1.0 - THETA)) / (1.0 - zeta_of(2) / zeta),
            state: mix(seed),
        }
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        mix(self.rank()) % self.count
    }

    /// The next rank: 0 is the most popular.
    pub fn rank(&mut self) -> u64 {
        self.state = self.state.wrapping_add(1);
        let uniform = (mix(self.state) >> 11) as f64 / (1_u64 << 53) as f64;
        let scaled = uniform * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < 1.0 + 0.5_f64.powf(THETA) {
            return 1;
        }
        let rank = self.count as f64 * (self.eta * uniform - self.eta + 1.0).powf(self.alpha);
        (rank as u64).min(self.count - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_popular_number_is_drawn_as_often_as_the_law_says() {
        let mut zipf = Zipf::new(1000, 7);
        let expected = 100_000.0 / zipf.zeta;
        let drawn = (0..100_000).filter(|_| zipf.rank() == 0).count() as f64;
        assert!(
            (drawn / expected - 1.0).abs() < 0.05,
            "{drawn} instead of {expected}"
        );
        assert!((0..100_000).all(|_| zipf.draw() < 1000));
    }
}
