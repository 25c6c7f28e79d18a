//! The bootstrap: the spread of a statistic over resampled seeds.
//!
//! Strata are the tasks: seeds are resampled within each task, and the tasks are fixed, so the interval holds
//! for these tasks only (Agarwal et al., <https://arxiv.org/abs/2108.13264>, section 4.1). With few seeds,
//! the quantiles of the resampled statistics are too close to each other: for 5 seeds they contain the true
//! value 82 to 92 times in 100. The interval is therefore a t interval with the standard deviation of the
//! resampled statistics as standard error (Efron, Tibshirani. *An Introduction to the Bootstrap*. 1993,
//! section 12.2); `scripts/coverage` measures both.

#[cfg(test)]
use super::rng::Rng;
use super::{
    interval::Interval,
    mean::{t_quantile, variance},
};

/// The number of bootstrap resamples. The width has a relative error of about two hundredths.
pub const RESAMPLES: usize = 2_000;

/// The 95 % interval of a statistic of the strata. None if a stratum has fewer than 3 values, which are too
/// few to resample. The interquartile mean has a faster implementation, which is tested against this one.
#[cfg(test)]
pub(super) fn stratified_bootstrap(
    strata: &[Vec<f64>],
    statistic: impl Fn(&[Vec<f64>]) -> f64,
    resamples: usize,
    seed: u64,
) -> Option<Interval> {
    let sizes: Vec<usize> = strata.iter().map(Vec::len).collect();
    of_statistics(&sizes, statistic(strata), || {
        let (mut rng, mut drawn) = (Rng::new(seed), strata.to_vec());
        let resample = |_| {
            for (drawn, values) in drawn.iter_mut().zip(strata) {
                drawn.iter_mut().for_each(|slot| *slot = values[rng.below(values.len())]);
            }
            statistic(&drawn)
        };
        (0..resamples).map(resample).collect()
    })
}

/// The interval around a statistic of strata of these sizes, from the statistics of resamples.
pub(super) fn of_statistics(
    sizes: &[usize],
    statistic: f64,
    drawn: impl FnOnce() -> Vec<f64>,
) -> Option<Interval> {
    let least = sizes.iter().min().filter(|least| **least >= 3)?;
    let least = *least as f64;
    // n resampled values have (n - 1) / n of the variance of n new ones.
    let error = (variance(&drawn()) * least / (least - 1.0)).sqrt();
    let df = sizes.iter().map(|size| size - 1).sum::<usize>() as f64;
    let half = t_quantile(0.975, df) * error;
    Some(Interval { low: statistic - half, high: statistic + half })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{golden, iqm, mean::average};

    fn of_means(strata: &[Vec<f64>], seed: u64) -> Option<Interval> {
        let statistic = |strata: &[Vec<f64>]| {
            strata.iter().filter_map(|values| average(values)).sum::<f64>() / strata.len() as f64
        };
        stratified_bootstrap(strata, statistic, 10_000, seed)
    }

    #[test]
    fn by_hand() {
        // The mean of draws from (0, 0, 3) has the variance 2 / 3; times 3 / 2 it is 1, which is the
        // squared standard error. t(0.975, 2) = 0.95 sqrt(2 / (1 - 0.95^2)).
        let interval = of_means(&[vec![0.0, 0.0, 3.0]], 0).unwrap();
        let half = 0.95 * (2.0 / (1.0 - 0.95_f64.powi(2))).sqrt();
        assert!((interval.low - (1.0 - half)).abs() < 0.1, "{interval:?}");
        assert!((interval.high - (1.0 + half)).abs() < 0.1, "{interval:?}");
        let inside = interval.within([0.0, 1.0]);
        assert_eq!(inside, Interval { low: 0.0, high: 1.0 });
    }

    #[test]
    fn for_a_mean_it_is_the_t_interval() {
        for case in golden("mean").as_array().unwrap() {
            let values: Vec<f64> = serde_json::from_value(case["values"].clone()).unwrap();
            let got = of_means(&[values], 7).unwrap();
            let (low, high) = (case["low"].as_f64().unwrap(), case["high"].as_f64().unwrap());
            let near = 0.03 * (high - low);
            assert!((got.low - low).abs() < near && (got.high - high).abs() < near, "{got:?}");
        }
    }

    #[test]
    fn the_seed_decides() {
        let tasks = [vec![1.0, 2.0, 4.0, 8.0], vec![0.1, 0.5, 0.2]];
        assert_eq!(of_means(&tasks, 1), of_means(&tasks, 1));
        assert_ne!(of_means(&tasks, 1), of_means(&tasks, 2));
    }

    #[test]
    fn seeds_are_drawn_within_their_task() {
        // There is no variance within a task: however far apart the tasks are, the statistic does not vary.
        let interval = of_means(&[vec![1.0; 3], vec![3.0; 5]], 0);
        assert_eq!(interval, Some(Interval { low: 2.0, high: 2.0 }));
        assert_eq!(of_means(&[vec![1.0, 2.0]], 0), None);
        assert_eq!(of_means(&[], 0), None);
    }

    /// Three standard errors of a share of 0.95 in 300 trials are 0.038. The interquartile mean of
    /// normal numbers is 0 where their mean is.
    #[test]
    fn the_interval_holds_the_truth_as_often_as_it_says() {
        let statistic = |strata: &[Vec<f64>]| iqm(&strata.concat()).unwrap();
        for (tasks, seeds) in [(1, 5), (2, 5), (1, 8)] {
            let held = (0..300).filter(|trial| {
                let mut rng = Rng::new(*trial);
                let task = |_| (0..seeds).map(|_| rng.normal()).collect();
                let strata: Vec<Vec<f64>> = (0..tasks).map(task).collect();
                let got = stratified_bootstrap(&strata, statistic, 200, *trial).unwrap();
                got.low <= 0.0 && 0.0 <= got.high
            });
            let share = held.count() as f64 / 300.0;
            assert!(share > 0.912, "{tasks} tasks, {seeds} seeds: {share}");
        }
    }
}
