//! A mean over seeds and test examples as crossed random factors.
//!
//! Each seed is evaluated on the same examples, so the values form a matrix of two crossed random
//! factors. The variance of its mean is the sum of three parts: seeds, examples, and their
//! interaction. Each part is estimated from a mean square of the two-way analysis of variance, and
//! the degrees of freedom of their sum follow Satterthwaite. *An approximate distribution of
//! estimates of variance components*. Biometrics Bulletin 1946. <https://doi.org/10.2307/3002019>
//!
//! The bootstrap that resamples seeds and examples (Owen. *The pigeonhole bootstrap*. Ann. Appl. Stat. 2007.
//! <https://doi.org/10.1214/07-AOAS122>) estimates the same variance, but counts the interaction three times
//! and the seeds (n - 1) / n times: `scripts/coverage` measures both.

use super::{
    interval::Interval,
    mean::{average, t_quantile},
};

/// A mean over seeds and examples with its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crossed {
    /// The mean.
    pub mean: f64,
    /// Its standard error, from seeds, examples and their interaction.
    pub error: f64,
    /// The degrees of freedom of the error; not a whole number.
    pub df: f64,
    /// The number of seeds.
    pub seeds: usize,
    /// The number of examples.
    pub examples: usize,
}

/// The ratio of sums `sum(values) / sum(weights)`, over seeds and examples: `values[seed][example]`,
/// `weights[example]`. With weights of 1 it is the mean. None if there are fewer than 3 seeds or examples, if
/// the seeds differ in their number of examples, if the weights sum to 0, or if squares of the numbers
/// overflow.
pub fn crossed(values: &[Vec<f64>], weights: &[f64]) -> Option<Crossed> {
    let (seeds, examples) = (values.len(), weights.len());
    let even = values.iter().all(|of_seed| of_seed.len() == examples);
    let weight = average(weights).filter(|weight| *weight > 0.0)?;
    if seeds < 3 || examples < 3 || !even {
        return None;
    }
    let mean = average(&values.concat())? / weight;
    // The contribution of each value to the ratio, to first order; for weights of 1 it is the value itself.
    let linear = |of_seed: &Vec<f64>| -> Vec<f64> {
        of_seed.iter().zip(weights).map(|(x, w)| (x - mean * w) / weight).collect()
    };
    let squares = MeanSquares::of(&values.iter().map(linear).collect::<Vec<_>>());
    let (variance, df) = squares.of_the_mean(seeds, examples);
    let crossed = Crossed { mean, error: variance.sqrt(), df, seeds, examples };
    Some(crossed).filter(|_| mean.is_finite() && variance.is_finite() && df.is_finite())
}

impl Crossed {
    /// The 95 % t interval.
    pub fn interval(&self) -> Interval {
        let half = t_quantile(0.975, self.df) * self.error;
        Interval { low: self.mean - half, high: self.mean + half }
    }
}

/// The mean squares of a two-way table with one value in each cell and mean 0.
struct MeanSquares {
    seeds: f64,
    examples: f64,
    interaction: f64,
}

impl MeanSquares {
    fn of(table: &[Vec<f64>]) -> Self {
        let (s, e) = (table.len() as f64, table[0].len() as f64);
        let rows: Vec<f64> = table.iter().map(|row| row.iter().sum::<f64>() / e).collect();
        let column = |at: usize| table.iter().map(|row| row[at]).sum::<f64>() / s;
        let columns: Vec<f64> = (0..table[0].len()).map(column).collect();
        let squares = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>();
        let residuals = table.iter().zip(&rows).flat_map(|(values, row)| {
            values.iter().zip(&columns).map(move |(value, column)| value - row - column)
        });
        let residual: f64 = residuals.map(|residual| residual * residual).sum();
        Self {
            seeds: e * squares(&rows) / (s - 1.0),
            examples: s * squares(&columns) / (e - 1.0),
            interaction: residual / ((s - 1.0) * (e - 1.0)),
        }
    }

    /// The variance of the mean and its degrees of freedom. By chance the sum of the parts can be smaller
    /// than one of them; the variance is never smaller than that of either factor alone.
    fn of_the_mean(&self, seeds: usize, examples: usize) -> (f64, f64) {
        let (s, e) = (seeds as f64, examples as f64);
        let [by_seeds, by_examples, by_both] =
            [self.seeds, self.examples, self.interaction].map(|square| square / (s * e));
        let variance = (by_seeds + by_examples - by_both).max(by_seeds).max(by_examples);
        let doubt = by_seeds.powi(2) / (s - 1.0)
            + by_examples.powi(2) / (e - 1.0)
            + by_both.powi(2) / ((s - 1.0) * (e - 1.0));
        let df = match doubt {
            0.0 => s - 1.0,
            doubt if doubt.is_finite() => (variance.powi(2) / doubt).max(1.0),
            _ => f64::NAN,
        };
        (variance, df)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{Rng, golden, paired_t};

    #[test]
    fn by_hand() {
        // Rows have means 1, 2, 3, columns too: values i + j - 2 and no interaction. The mean squares
        // are 3 * 1 for both, so the variance is (3 + 3) / 9, with (2/3)^2 / (2 * (1/3)^2 / 2) = 4
        // degrees of freedom.
        let values: Vec<Vec<f64>> =
            (0..3).map(|s| (0..3).map(|e| f64::from(s + e)).collect()).collect();
        let got = crossed(&values, &[1.0; 3]).unwrap();
        assert!((got.mean - 2.0).abs() < 1e-12 && (got.df - 4.0).abs() < 1e-9, "{got:?}");
        assert!((got.error - (2.0_f64 / 3.0).sqrt()).abs() < 1e-12, "{got:?}");
    }

    #[test]
    fn statsmodels_agrees() {
        for case in golden("crossed").as_array().unwrap() {
            let values: Vec<Vec<f64>> = serde_json::from_value(case["values"].clone()).unwrap();
            let weights: Vec<f64> = serde_json::from_value(case["weights"].clone()).unwrap();
            let got = crossed(&values, &weights).unwrap();
            let interval = got.interval();
            let all = [got.mean, got.error, got.df, interval.low, interval.high];
            for (got, key) in all.into_iter().zip(["mean", "error", "df", "low", "high"]) {
                let wanted = case[key].as_f64().unwrap();
                assert!((got - wanted).abs() < 1e-9 * wanted.abs().max(1.0), "{key}: {got}");
            }
        }
    }

    /// Without differences between examples the result is the t interval over seeds.
    #[test]
    fn equal_examples_leave_the_seeds() {
        let of_seeds = [0.3, 0.1, 0.4, 0.2, 0.6];
        let values = of_seeds.map(|value| vec![value; 50]).to_vec();
        let (got, t) = (crossed(&values, &[1.0; 50]).unwrap(), paired_t(&of_seeds).unwrap());
        assert!((got.interval().low - t.low).abs() < 1e-9);
        assert!((got.interval().high - t.high).abs() < 1e-9);
        assert!((got.df - 4.0).abs() < 1e-9, "{got:?}");
    }

    #[test]
    fn uneven_or_few_values_have_no_answer() {
        assert_eq!(crossed(&[vec![1.0; 4], vec![1.0; 4]], &[1.0; 4]), None);
        assert_eq!(crossed(&[vec![1.0; 4], vec![1.0; 4], vec![1.0; 3]], &[1.0; 4]), None);
        assert_eq!(crossed(&vec![vec![1.0; 4]; 3], &[0.0; 4]), None);
    }

    /// The share of intervals that contain the true value, with examples and over seeds alone: normal
    /// seeds, examples and interaction with these variances, of 5 seeds and 100 examples.
    fn coverage([seeds, examples, both]: [f64; 3]) -> [f64; 2] {
        const TRIALS: u64 = 400;
        let mut held = [0, 0];
        for trial in 0..TRIALS {
            let mut rng = Rng::new(trial);
            let of_example: Vec<f64> = (0..100).map(|_| rng.normal() * examples.sqrt()).collect();
            let values: Vec<Vec<f64>> = (0..5)
                .map(|_| {
                    let of_seed = rng.normal() * seeds.sqrt();
                    let value = |e: &f64| of_seed + e + rng.normal() * both.sqrt();
                    of_example.iter().map(value).collect()
                })
                .collect();
            let means: Vec<f64> = values.iter().filter_map(|of_seed| average(of_seed)).collect();
            let (both, alone) = (crossed(&values, &[1.0; 100]).unwrap(), paired_t(&means).unwrap());
            held[0] += u64::from(both.interval().low <= 0.0 && 0.0 <= both.interval().high);
            held[1] += u64::from(alone.low <= 0.0 && 0.0 <= alone.high);
        }
        held.map(|held| held as f64 / TRIALS as f64)
    }

    #[test]
    fn squares_that_are_no_numbers_are_no_interval() {
        let of = |size: f64| {
            let seed = |seed: u8| vec![size, -size, size * f64::from(seed)];
            crossed(&[seed(0), seed(1), seed(2)], &[1.0; 3])
        };
        assert!(of(1e60).is_some());
        assert_eq!((of(1e100), of(1e308)), (None, None));
    }

    /// Three standard errors of a share of 0.95 in 400 trials are 0.033.
    #[test]
    fn the_interval_holds_the_truth_as_often_as_it_says() {
        let [both, alone] = coverage([0.0, 1.0, 1.0]);
        assert!(both > 0.917 && alone < 0.8, "{both} {alone}");
        for variances in [[0.02, 0.3, 1.0], [0.1, 0.01, 0.5]] {
            let [both, _] = coverage(variances);
            assert!(both > 0.917, "{variances:?}: {both}");
        }
    }
}
