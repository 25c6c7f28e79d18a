//! A mean with its t interval.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::interval::Interval;

/// A mean with its 95 % t interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// Half the width of the interval; none with fewer than 3 values: with 2 values it is 12.7 standard
    /// errors, too wide to be useful.
    pub half: Option<f64>,
    /// The number of values.
    pub n: usize,
}

impl Mean {
    /// Its 95 % interval, clipped to a range; none with fewer than 3 values. A metric's mean lies in the
    /// metric's range, so the clipped interval contains it as often as the whole one.
    pub fn interval(&self, range: [f64; 2]) -> Option<Interval> {
        let half = self.half?;
        Some(Interval { low: self.mean - half, high: self.mean + half }.within(range))
    }

    /// Its standard error and degrees of freedom; none with fewer than 3 values.
    pub(crate) fn error(&self) -> Option<[f64; 2]> {
        let df = self.n as f64 - 1.0;
        self.half.map(|half| [half / t_quantile(0.975, df), df])
    }
}

/// The mean of the values with its 95 % t interval; none without values.
pub fn mean(values: &[f64]) -> Option<Mean> {
    let n = values.len();
    let mean = average(values)?;
    let half =
        (n >= 3).then(|| t_quantile(0.975, (n - 1) as f64) * (variance(values) / n as f64).sqrt());
    Some(Mean { mean, half, n })
}

/// The plain average; none without values.
pub(crate) fn average(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The unbiased variance, over n - 1; 0 if there is no spread to estimate.
pub(crate) fn variance(values: &[f64]) -> f64 {
    let Some(mean) = average(values).filter(|_| values.len() > 1) else { return 0.0 };
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    squares / (values.len() - 1) as f64
}

/// Student's t with this many degrees of freedom, which need not be a whole number.
pub(crate) fn student(df: f64) -> StudentsT {
    StudentsT::new(0.0, 1.0, df).expect("callers have at least one degree of freedom")
}

/// The p-quantile of Student's t.
///
/// # Panics
/// If `df` is not above 0.
pub fn t_quantile(p: f64, df: f64) -> f64 {
    student(df).inverse_cdf(p)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden;

    #[test]
    fn by_hand() {
        // mean 3, variance 10 / 4 = 2.5, standard error sqrt(0.5), t(0.975, 4) = 2.776445.
        let Mean { mean: m, half, n } = mean(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert_eq!((m, n), (3.0, 5));
        assert!((half.unwrap() - 2.776_445_105_197_799 * 0.5_f64.sqrt()).abs() < 1e-9);
    }

    #[test]
    fn few_values_have_no_interval() {
        assert_eq!(mean(&[]), None);
        assert_eq!(mean(&[2.0]), Some(Mean { mean: 2.0, half: None, n: 1 }));
        assert_eq!(mean(&[2.0, 4.0]), Some(Mean { mean: 3.0, half: None, n: 2 }));
    }

    #[test]
    fn an_interval_stays_in_its_range() {
        let accuracy = mean(&[0.5, 1.0, 1.0, 1.0]).unwrap();
        let Interval { low, high } = accuracy.interval([0.0, 1.0]).unwrap();
        assert_eq!((low, high), (accuracy.mean - accuracy.half.unwrap(), 1.0));
    }

    #[test]
    fn scipy_agrees() {
        for case in golden("mean").as_array().unwrap() {
            let values: Vec<f64> = serde_json::from_value(case["values"].clone()).unwrap();
            let got = mean(&values).unwrap();
            let half = got.half.unwrap();
            assert!((got.mean - case["mean"].as_f64().unwrap()).abs() < 1e-14);
            assert!((got.mean - half - case["low"].as_f64().unwrap()).abs() < 1e-10);
            assert!((got.mean + half - case["high"].as_f64().unwrap()).abs() < 1e-10);
        }
    }
}
