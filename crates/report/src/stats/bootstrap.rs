//! The bootstrap: how much a statistic moves when the seeds are drawn again.
//!
//! Strata are the tasks: seeds are drawn within each task, and the tasks stay as they are, so the
//! interval speaks of these tasks (Agarwal et al., <https://arxiv.org/abs/2108.13264>, section 4.1).

use serde::Serialize;

use super::{mean::average, rng::Rng};

/// A 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// How often the bootstrap draws. The ends are good to about a hundredth of the width.
pub const RESAMPLES: usize = 10_000;

/// The 95 % percentile interval of a statistic of the strata. None where a stratum has fewer than
/// 3 values, from which nothing can be drawn anew.
pub fn stratified_bootstrap(
    strata: &[Vec<f64>],
    statistic: impl Fn(&[Vec<f64>]) -> f64,
    resamples: usize,
    seed: u64,
) -> Option<Interval> {
    if strata.is_empty() || strata.iter().any(|values| values.len() < 3) {
        return None;
    }
    let mut rng = Rng::new(seed);
    let mut drawn = strata.to_vec();
    let mut statistics: Vec<f64> = (0..resamples)
        .map(|_| {
            for (drawn, values) in drawn.iter_mut().zip(strata) {
                drawn.iter_mut().for_each(|slot| *slot = values[rng.below(values.len())]);
            }
            statistic(&drawn)
        })
        .collect();
    statistics.sort_by(f64::total_cmp);
    Some(Interval { low: quantile(&statistics, 0.025), high: quantile(&statistics, 0.975) })
}

/// The paired bootstrap of a mean difference over tasks: the differences of each task's shared
/// seeds are drawn anew, and every task counts alike.
pub fn paired_bootstrap(differences: &[Vec<f64>], resamples: usize, seed: u64) -> Option<Interval> {
    stratified_bootstrap(differences, mean_of_means, resamples, seed)
}

/// The mean over tasks of the mean over seeds.
pub(crate) fn mean_of_means(tasks: &[Vec<f64>]) -> f64 {
    let means: f64 = tasks.iter().filter_map(|values| average(values)).sum();
    means / tasks.len() as f64
}

/// The p-quantile of sorted values, on the line between its neighbours.
pub(crate) fn quantile(sorted: &[f64], p: f64) -> f64 {
    let at = p * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden;

    #[test]
    fn by_hand() {
        // Of 27 equally likely draws from (0, 0, 3) one has mean 3: less than 2.5 % of all are
        // above 2 (1 / 27 = 3.7 % are not), and 8 / 27 are 0.
        let interval = paired_bootstrap(&[vec![0.0, 0.0, 3.0]], RESAMPLES, 0);
        assert_eq!(interval, Some(Interval { low: 0.0, high: 3.0 }));
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
    }

    #[test]
    fn scipy_agrees() {
        // Both are random, scipy's with 200,000 draws. 10,000 draws put an end within 3 % of the
        // width: three standard errors of a 2.5 % quantile.
        for case in golden("bootstrap").as_array().unwrap() {
            let values: Vec<f64> = serde_json::from_value(case["values"].clone()).unwrap();
            let got = paired_bootstrap(&[values], RESAMPLES, 7).unwrap();
            let (low, high) = (case["low"].as_f64().unwrap(), case["high"].as_f64().unwrap());
            let near = 0.03 * (high - low);
            assert!((got.low - low).abs() < near && (got.high - high).abs() < near, "{got:?}");
        }
    }

    #[test]
    fn the_seed_decides() {
        let tasks = [vec![1.0, 2.0, 4.0, 8.0], vec![0.1, 0.5, 0.2]];
        let drawn = |seed| paired_bootstrap(&tasks, 500, seed).unwrap();
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
    }

    #[test]
    fn seeds_are_drawn_within_their_task() {
        // No spread within a task: however far apart the tasks are, nothing moves.
        let tasks = [vec![1.0; 3], vec![3.0; 5]];
        let interval = paired_bootstrap(&tasks, 100, 0);
        assert_eq!(interval, Some(Interval { low: 2.0, high: 2.0 }));
        assert_eq!(paired_bootstrap(&[vec![1.0, 2.0]], 100, 0), None);
    }
}
