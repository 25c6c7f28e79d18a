//! The paired t test: two methods on the same seeds.

use serde::Serialize;
use statrs::distribution::ContinuousCDF;

use super::{
    Crossed,
    mean::{average, student, t_quantile, variance},
};

/// Differences are considered equal if their standard deviation is a smaller share of their mean than this,
/// which is due to rounding.
const ROUNDING: f64 = 1e-10;

/// A mean difference with its interval and p value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Paired {
    /// The mean of the differences.
    pub difference: f64,
    /// The lower end of the 95 % t interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The two-sided p value of the hypothesis that there is no difference. None if all differences are
    /// equal: without variance there is no test.
    pub p_value: Option<f64>,
    /// The standard error of the difference.
    pub error: f64,
    /// The degrees of freedom of the error.
    pub df: f64,
    /// The standard deviation of the differences over seeds.
    pub deviation: f64,
    /// The number of pairs.
    pub n: usize,
    /// The number of test examples that the interval covers; none if it covers the seeds alone.
    pub examples: Option<usize>,
}

/// The paired t test on the differences; none with fewer than 3, or if their squares overflow.
pub fn paired_t(differences: &[f64]) -> Option<Paired> {
    let n = differences.len();
    let [difference, deviation] = moments(differences)?;
    let (error, df) = (deviation / (n as f64).sqrt(), (n - 1) as f64);
    Some(Paired::new(difference, error, df, n).with_deviation(deviation))
}

/// A lower bound of the 97.5 % quantile of the t distribution for all degrees of freedom; the limit is
/// 1.95996.
const LEAST_T: f64 = 1.9599;

/// Whether the paired t test shows a difference at 5 %, or all differences are equal: the same answer as from
/// `paired_t`, in a fraction of the time. There is no test with fewer than 3 differences.
pub(crate) fn differs(differences: &[f64]) -> bool {
    let Some([difference, deviation]) = moments(differences) else { return false };
    let n = differences.len() as f64;
    let error = deviation / n.sqrt();
    if error > 0.0 && (difference / error).abs() < LEAST_T {
        return false; // its p value is above 5 %, and most are
    }
    p_value(difference, error, n - 1.0).is_none_or(|p| p < 0.05)
}

/// The mean and standard deviation of at least 3 differences.
fn moments(differences: &[f64]) -> Option<[f64; 2]> {
    let difference = average(differences).filter(|_| differences.len() >= 3)?;
    let deviation = variance(differences).sqrt();
    if !(difference.is_finite() && deviation.is_finite()) {
        return None;
    }
    Some(match deviation {
        noise if noise <= ROUNDING * difference.abs() => [difference, 0.0],
        deviation => [difference, deviation],
    })
}

/// The two-sided p value; none if the error is 0.
fn p_value(difference: f64, error: f64, df: f64) -> Option<f64> {
    (error > 0.0).then(|| 2.0 * student(df).cdf(-(difference / error).abs()))
}

impl Paired {
    fn new(difference: f64, error: f64, df: f64, n: usize) -> Self {
        let half = t_quantile(0.975, df) * error;
        let p_value = p_value(difference, error, df);
        let (low, high) = (difference - half, difference + half);
        let (deviation, examples) = (0.0, None);
        Self { difference, low, high, p_value, error, df, deviation, n, examples }
    }

    fn with_deviation(self, deviation: f64) -> Self {
        Self { deviation, ..self }
    }

    /// The same difference with the error over seeds and test examples.
    #[must_use]
    pub fn with_examples(self, crossed: &Crossed) -> Self {
        let examples = Some(crossed.examples);
        let wide = Self::new(self.difference, crossed.error, crossed.df, self.n);
        Self { examples, deviation: self.deviation, ..wide }
    }

    /// The same test with exchanged methods, so that b - a becomes a - b.
    #[must_use]
    pub fn turned(self) -> Self {
        Self { difference: -self.difference, low: -self.high, high: -self.low, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden;

    #[test]
    fn by_hand() {
        // Mean 2, variance 1, error 1/sqrt(3), t = 2 sqrt(3); with 2 degrees of freedom
        // P(|T| > t) = 1 - t / sqrt(2 + t^2) = 1 - sqrt(12 / 14).
        let test = paired_t(&[1.0, 2.0, 3.0]).unwrap();
        assert_eq!((test.difference, test.n, test.deviation), (2.0, 3, 1.0));
        assert!((test.p_value.unwrap() - (1.0 - (12.0_f64 / 14.0).sqrt())).abs() < 1e-12);
        // t(0.975, 2) = 0.95 sqrt(2 / (1 - 0.95^2)).
        let half = 0.95 * (2.0 / (1.0 - 0.95_f64.powi(2))).sqrt() / 3.0_f64.sqrt();
        assert!((test.low - (2.0 - half)).abs() < 1e-9 && (test.high - (2.0 + half)).abs() < 1e-9);
        let turned = test.turned();
        assert_eq!((turned.low, turned.high), (-test.high, -test.low));
    }

    #[test]
    fn equal_differences_have_no_test() {
        assert_eq!(paired_t(&[0.0; 4]).unwrap().p_value, None);
        assert_eq!(paired_t(&[0.5; 4]).unwrap().p_value, None);
        // Equal up to rounding: 0.97 - 0.95, 0.96 - 0.94, 0.95 - 0.93.
        let rounded = [0.97 - 0.95, 0.96 - 0.94, 0.95 - 0.93];
        assert!(rounded[0] != rounded[2]);
        let test = paired_t(&rounded).unwrap();
        assert_eq!((test.p_value, test.deviation, test.low == test.high), (None, 0.0, true));
        assert_eq!(paired_t(&[0.5; 2]), None);
    }

    #[test]
    fn a_difference_is_seen_where_the_test_sees_one() {
        let slow =
            |some: &[f64]| paired_t(some).is_some_and(|test| test.p_value.is_none_or(|p| p < 0.05));
        for some in [&[0.0; 4][..], &[0.5; 2], &[1.0, 2.0, 4.0], &[], &[1e200, -1e200, 0.0]] {
            assert_eq!(differs(some), slow(some), "{some:?}");
        }
        // Values around the quantile, with few seeds and with many.
        for n in [3, 4, 30, 1000] {
            for at in 0..400 {
                let shift = f64::from(at) / 100.0 / f64::from(n).sqrt();
                let some: Vec<f64> = (0..n).map(|i| f64::from(i % 2) - 0.5 + shift).collect();
                assert_eq!(differs(&some), slow(&some), "{n} {at}");
            }
        }
    }

    #[test]
    fn squares_that_are_no_numbers_are_no_test() {
        let of = |size: f64| paired_t(&[size, -size, 0.5 * size]);
        assert!(of(1e60).is_some());
        assert_eq!((of(1e200), of(1e308)), (None, None));
    }

    #[test]
    fn scipy_agrees() {
        for case in golden("paired_t").as_array().unwrap() {
            let list = |key: &str| serde_json::from_value::<Vec<f64>>(case[key].clone()).unwrap();
            let differences: Vec<f64> =
                list("a").iter().zip(list("b")).map(|(a, b)| a - b).collect();
            let test = paired_t(&differences).unwrap();
            let got = [test.p_value.unwrap(), test.low, test.high];
            for (got, key) in got.into_iter().zip(["p_value", "low", "high"]) {
                assert!((got - case[key].as_f64().unwrap()).abs() < 1e-10, "{key}: {got} {case}");
            }
        }
    }
}
