//! Measurement of latency, as in AutoMoE.
//!
//! Jawahar et al. *AutoMoE*. 2022. <https://arxiv.org/abs/2210.07535>, following the code of HAT: some
//! untimed runs, then timed ones; the fastest and the slowest tenth are left out of the mean.

use std::time::Instant;

/// The number of repetitions of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The number of initial runs that are not timed.
    pub dry: usize,
    /// The number of timed runs; at least 1.
    pub timed: usize,
}

impl Timing {
    /// The repetitions in a search of the paper.
    pub const SEARCH: Self = Self { dry: 5, timed: 100 };
    /// The repetitions in the final report of the paper.
    pub const REPORT: Self = Self { dry: 5, timed: 300 };

    /// The trimmed mean of the time of `work`, in milliseconds.
    ///
    /// # Panics
    /// If no run is timed.
    pub fn milliseconds(self, mut work: impl FnMut()) -> f64 {
        (0..self.dry).for_each(|_| work());
        let mut one = |_| {
            let started = Instant::now();
            work();
            1000.0 * started.elapsed().as_secs_f64()
        };
        let times = (0..self.timed).map(&mut one).collect();
        trimmed_mean(times, 0.1).expect("at least one run must be timed")
    }
}

/// The mean without the lowest and the highest `share` of the values; none without values.
pub fn trimmed_mean(mut values: Vec<f64>, share: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let cut = (values.len() as f64 * share) as usize;
    let kept = values.get(cut..values.len() - cut).filter(|kept| !kept.is_empty())?;
    Some(kept.iter().sum::<f64>() / kept.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{thread::sleep, time::Duration};

    #[test]
    fn a_tenth_on_either_side_does_not_count() {
        let mut values: Vec<f64> = (1..=8).map(f64::from).collect();
        values.extend([1e9, -1e9]);
        assert_eq!(trimmed_mean(values, 0.1), Some(4.5));
        assert_eq!(trimmed_mean(vec![3.0, 9.0], 0.1), Some(6.0));
        assert_eq!(trimmed_mean(Vec::new(), 0.1), None);
    }

    #[test]
    fn dry_runs_are_not_timed() {
        let mut runs = 0;
        let time = Timing { dry: 2, timed: 5 }.milliseconds(|| {
            runs += 1;
            if runs <= 2 {
                sleep(Duration::from_millis(20));
            }
        });
        assert_eq!(runs, 7);
        assert!(time < 15.0, "{time} ms");
    }
}
