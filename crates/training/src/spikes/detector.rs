//! Detection of spikes: numbers far above the previous ones.
//!
//! With a = 2 / (window + 1), for each accepted number x, and after the first one (m = x, v = 0):
//!
//! d = x - m,  m += a d,  v = (1 - a) (v + a d^2)         (1)
//! x is a spike  iff  x > m + sigma sqrt(v)               (2)
//!
//! (1) are the exponentially weighted mean and variance: Finch. *Incremental calculation of weighted
//! mean and variance*. 2009. There are no spikes before `window` numbers were accepted, except numbers that
//! are not finite.

use serde::{Deserialize, Serialize};

/// Mean and variance of the accepted numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunningStats {
    accepted: usize,
    mean: f64,
    variance: f64,
}

impl RunningStats {
    /// Whether `x` is a spike, more than `sigma` deviations above the mean. (2)
    pub(crate) fn is_spike(&self, x: f64, sigma: f64, window: usize) -> bool {
        let judges = self.accepted >= window;
        !x.is_finite() || judges && x > self.mean + sigma * self.variance.sqrt()
    }

    /// Updates mean and variance with an accepted number. (1)
    pub(crate) fn accept(&mut self, x: f64, window: usize) {
        let a = 2.0 / (window as f64 + 1.0);
        let d = if self.accepted == 0 { 0.0 } else { x - self.mean };
        self.mean = if self.accepted == 0 { x } else { self.mean + a * d };
        self.variance = (1.0 - a) * (self.variance + a * d * d);
        self.accepted += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_variance_by_hand() {
        // a = 1/2: m = 1, then 1 + 1 = 2, then 2 - 1 = 1; v = 0, 1/2 (0 + 2) = 1, 1/2 (1 + 2) = 1.5.
        let mut stats = RunningStats::default();
        for x in [1.0, 3.0, 0.0] {
            stats.accept(x, 3);
        }
        assert_eq!((stats.mean, stats.variance), (1.0, 1.5));
        let edge = 1.0 + 2.0 * 1.5_f64.sqrt();
        assert!(stats.is_spike(edge + 1e-9, 2.0, 3) && !stats.is_spike(edge - 1e-9, 2.0, 3));
        assert!(!stats.is_spike(-100.0, 2.0, 3)); // a fall is none
    }

    #[test]
    fn the_first_numbers_are_not_judged_but_have_to_be_numbers() {
        let mut stats = RunningStats::default();
        for x in [1.0, 1.1] {
            stats.accept(x, 3);
        }
        assert!(!stats.is_spike(1e6, 4.0, 3));
        assert!(stats.is_spike(f64::NAN, 4.0, 3) && stats.is_spike(f64::INFINITY, 4.0, 3));
        stats.accept(0.9, 3);
        assert!(stats.is_spike(1e6, 4.0, 3));
    }
}
