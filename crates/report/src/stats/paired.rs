//! The paired t test: two methods on the same seeds.

use serde::Serialize;
use statrs::distribution::ContinuousCDF;

use super::mean::{average, student, t_quantile, variance};

/// A mean difference with its interval and p value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Paired {
    /// The mean of the differences.
    pub difference: f64,
    /// The lower end of the 95 % t interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// Two-sided, of the hypothesis that there is no difference.
    pub p_value: f64,
    /// The standard deviation of the differences.
    pub deviation: f64,
    /// How many pairs.
    pub n: usize,
}

/// The paired t test on the differences; none where there are fewer than 3.
pub fn paired_t(differences: &[f64]) -> Option<Paired> {
    let n = differences.len();
    let difference = average(differences).filter(|_| n >= 3)?;
    let deviation = variance(differences).sqrt();
    let error = deviation / (n as f64).sqrt();
    let half = t_quantile(0.975, n - 1) * error;
    let p_value = two_sided(difference, error, n - 1);
    let (low, high) = (difference - half, difference + half);
    Some(Paired { difference, low, high, p_value, deviation, n })
}

/// The chance of a t at least this far from 0. Without spread it is all or nothing.
fn two_sided(difference: f64, error: f64, df: usize) -> f64 {
    match difference / error {
        t if t.is_nan() => 1.0,
        t if t.is_infinite() => 0.0,
        t => 2.0 * student(df).cdf(-t.abs()),
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
        assert!((test.p_value - (1.0 - (12.0_f64 / 14.0).sqrt())).abs() < 1e-12);
        // t(0.975, 2) = 0.95 sqrt(2 / (1 - 0.95^2)).
        let half = 0.95 * (2.0 / (1.0 - 0.95_f64.powi(2))).sqrt() / 3.0_f64.sqrt();
        assert!((test.low - (2.0 - half)).abs() < 1e-9 && (test.high - (2.0 + half)).abs() < 1e-9);
    }

    #[test]
    fn without_spread() {
        assert_eq!(paired_t(&[0.0; 4]).unwrap().p_value, 1.0);
        assert_eq!(paired_t(&[0.5; 4]).unwrap().p_value, 0.0);
        assert_eq!(paired_t(&[0.5; 2]), None);
    }

    #[test]
    fn scipy_agrees() {
        for case in golden("paired_t").as_array().unwrap() {
            let list = |key: &str| serde_json::from_value::<Vec<f64>>(case[key].clone()).unwrap();
            let differences: Vec<f64> =
                list("a").iter().zip(list("b")).map(|(a, b)| a - b).collect();
            let test = paired_t(&differences).unwrap();
            let got = [test.p_value, test.low, test.high];
            for (got, key) in got.into_iter().zip(["p_value", "low", "high"]) {
                assert!((got - case[key].as_f64().unwrap()).abs() < 1e-10, "{key}: {got} {case}");
            }
        }
    }
}
