//! The mean over tasks of a mean over seeds, with equal weights for the tasks.
//!
//! The variance of the mean is the sum of the variances of the tasks; its degrees of freedom are those of
//! Welch. *The generalization of 'Student's' problem when several different population variances are
//! involved*. Biometrika 1947. <https://doi.org/10.1093/biomet/34.1-2.28>

use super::{
    interval::Interval,
    mean::{average, t_quantile, variance},
};

/// The mean over strata of the mean of their values, with its 95 % t interval, which holds for these strata.
/// None without strata, if one has fewer than 3 values, or if squares of the variances overflow.
pub fn stratified_mean(strata: &[Vec<f64>]) -> Option<(f64, Interval)> {
    if strata.is_empty() || strata.iter().any(|values| values.len() < 3) {
        return None;
    }
    let count = strata.len() as f64;
    let mean = strata.iter().filter_map(|values| average(values)).sum::<f64>() / count;
    let part = |values: &Vec<f64>| variance(values) / values.len() as f64 / count.powi(2);
    let error: f64 = strata.iter().map(part).sum();
    let doubt = strata.iter().map(|v| part(v).powi(2) / (v.len() - 1) as f64).sum::<f64>();
    // The degrees of freedom are at least 2; squares of tiny numbers underflow to 0.
    let df = if doubt > 0.0 { (error.powi(2) / doubt).max(1.0) } else { 1.0 };
    if !(mean.is_finite() && doubt.is_finite()) {
        return None;
    }
    let half = t_quantile(0.975, df) * error.sqrt();
    Some((mean, Interval { low: mean - half, high: mean + half }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{golden, mean};

    #[test]
    fn one_stratum_is_the_plain_mean() {
        let values = vec![1.0, 2.0, 4.0, 8.0];
        let (got, interval) = stratified_mean(std::slice::from_ref(&values)).unwrap();
        let plain = mean(&values).unwrap();
        assert_eq!(got, plain.mean);
        assert!((interval.high - got - plain.half.unwrap()).abs() < 1e-9);
    }

    #[test]
    fn every_stratum_counts_alike_and_its_place_adds_no_width() {
        let got = stratified_mean(&[vec![1.0; 3], vec![3.0; 5]]);
        assert_eq!(got, Some((2.0, Interval { low: 2.0, high: 2.0 })));
        assert_eq!(stratified_mean(&[vec![1.0, 2.0]]), None);
        assert_eq!(stratified_mean(&[]), None);
    }

    #[test]
    fn numbers_of_any_size_are_no_panic() {
        let of = |size: f64| stratified_mean(&[vec![0.0, size, -size], vec![size, 0.0, size]]);
        assert!([1e-320, 1e-81, 1e-80, 1e60].into_iter().all(|size| of(size).is_some()));
        assert_eq!((of(1e100), of(1e308)), (None, None));
    }

    /// Half of the difference of two independent means is the mean of the first sample and the negated second
    /// one.
    #[test]
    fn welch_in_scipy_agrees() {
        for case in golden("welch").as_array().unwrap() {
            let strata: Vec<Vec<f64>> = serde_json::from_value(case["strata"].clone()).unwrap();
            let (got, interval) = stratified_mean(&strata).unwrap();
            for (got, key) in [(got, "mean"), (interval.low, "low"), (interval.high, "high")] {
                assert!((got - case[key].as_f64().unwrap()).abs() < 1e-9, "{key}: {got}");
            }
        }
    }
}
