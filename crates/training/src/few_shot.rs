//! Few-shot evaluation of features: a linear head fitted to a few examples of each class.
//!
//! Riquelme et al. *Scaling Vision with Sparse Mixture of Experts*. NeurIPS 2021.
//! <https://arxiv.org/abs/2106.05974>, section 3.3, as in the published code.
//!
//! Features are the inputs of the head in the trained network. They are standardised by mean and deviation of
//! the few examples, (x - m) / (s + 1e-5), and extended by a constant 100. Targets are 1 for the class and -1
//! for the others.
//!
//! W = (X^T X + l I)^-1 X^T Y,  l = 2^-10, 2^-9, ..., 2^19
//!
//! The prediction is the class with the largest x W. A single l is chosen for all data sets, by the best mean
//! rank of the accuracies on them; with one data set, as here, that is the best accuracy on it. So l is
//! chosen on the same examples for which the accuracy is reported, as in the paper: use it to compare
//! methods, but not as an estimate of the accuracy in use.

use backbones::AnyBackbone;
use burn::prelude::*;
use moe::{Pass, config, stable_hash};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use tasks::{Split, Task};

use crate::{EVALUATION_BATCH, Outcome, Run};

config! {
    /// A linear head for a few examples of each class.
    pub struct FewShot {
        /// The number of examples of each class, drawn by the run's seed.
        pub shots: usize = 5,
    }
}

/// The constant feature.
const CONSTANT: f64 = 100.0;

impl FewShot {
    /// Checks that there is at least one example of each class.
    pub fn check(&self) -> Result<(), String> {
        if self.shots == 0 { Err("shots = 0: must be at least 1".into()) } else { Ok(()) }
    }

    /// Replaces the network's own measures by the accuracy of the head.
    ///
    /// # Errors
    /// If the network has no features, or a class has too few examples.
    pub fn judge(&self, run: &Run, outcome: &mut Outcome) -> Result<(), String> {
        let examples = self.examples(run)?;
        let of = |split, examples: &[usize]| features(&outcome.model, run, split, examples);
        let support = of(Split::Train, &examples)?;
        let score = |split| -> Result<f64, String> {
            let all: Vec<usize> = (0..run.task.len(split)).collect();
            Ok(best_accuracy(&support, &of(split, &all)?, run.task.outputs()))
        };
        let accuracy = ["accuracy"];
        outcome.valid.metrics = accuracy.into_iter().zip([score(Split::Valid)?]).collect();
        if let Some(test) = &mut outcome.test {
            test.metrics = accuracy.into_iter().zip([score(Split::Test)?]).collect();
        }
        Ok(())
    }

    /// The first examples of each class, in an order that is drawn by the seed.
    fn examples(&self, run: &Run) -> Result<Vec<usize>, String> {
        let n = run.task.len(Split::Train);
        let mut order: Vec<usize> = (0..n).collect();
        let seed = stable_hash(&format!("few-shot/{}", run.seed));
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let mut left = vec![self.shots; run.task.outputs()];
        let mut chosen = Vec::new();
        for chunk in order.chunks(EVALUATION_BATCH) {
            for (example, label) in chunk.iter().zip(labels(run.task, run.device, chunk)) {
                if left[label] > 0 {
                    left[label] -= 1;
                    chosen.push(*example);
                }
            }
        }
        match left.iter().position(|left| *left > 0) {
            Some(class) => {
                let there = self.shots - left[class];
                Err(format!("shots = {}: class {class} has only {there} examples", self.shots))
            }
            None => Ok(chosen),
        }
    }
}

fn labels(task: &dyn Task, device: &Device, examples: &[usize]) -> Vec<usize> {
    let labels = task.batch(Split::Train, examples, device).labels.into_data();
    labels.iter::<i32>().map(|label| label as usize).collect()
}

/// Rows of features with their labels.
struct Rows {
    x: Vec<Vec<f64>>,
    labels: Vec<usize>,
}

/// The features of some examples, with their labels.
fn features(
    model: &AnyBackbone,
    run: &Run,
    split: Split,
    examples: &[usize],
) -> Result<Rows, String> {
    let mut rows = Rows { x: Vec::new(), labels: Vec::new() };
    for chunk in examples.chunks(EVALUATION_BATCH) {
        let batch = run.task.batch(split, chunk, run.device);
        let features = model.features(&mut Pass::eval(), batch.input);
        let features = features.ok_or("the network has outputs at each position, not features")?;
        let [_, width] = features.dims();
        let numbers: Vec<f64> = features.into_data().iter::<f32>().map(f64::from).collect();
        rows.x.extend(numbers.chunks(width).map(<[f64]>::to_vec));
        rows.labels.extend(batch.labels.into_data().iter::<i32>().map(|label| label as usize));
    }
    Ok(rows)
}

/// The best accuracy over all l of the head fitted to `support`.
fn best_accuracy(support: &Rows, asked: &Rows, classes: usize) -> f64 {
    let standard = Standard::of(&support.x);
    let (x, asked_x) = (standard.rows(&support.x), standard.rows(&asked.x));
    let sign = |label: usize, class| if label == class { 1.0 } else { -1.0 };
    let y: Vec<Vec<f64>> = support
        .labels
        .iter()
        .map(|label| (0..classes).map(|c| sign(*label, c)).collect())
        .collect();
    let accuracy = |power: i32| {
        let w = ridge(&x, &y, 2_f64.powi(power));
        let right = asked_x.iter().zip(&asked.labels).filter(|(x, label)| answer(x, &w) == **label);
        right.count() as f64 / asked.labels.len() as f64
    };
    (-10..20).map(accuracy).fold(0.0, f64::max)
}

/// The class of the largest output; the first among equals.
fn answer(x: &[f64], w: &[Vec<f64>]) -> usize {
    let classes = w.first().map_or(0, Vec::len);
    let output = |class: usize| x.iter().zip(w).map(|(x, w)| x * w[class]).sum::<f64>();
    (1..classes).fold(0, |best, class| if output(class) > output(best) { class } else { best })
}

/// The mean and deviation of each feature.
struct Standard(Vec<(f64, f64)>);

impl Standard {
    fn of(rows: &[Vec<f64>]) -> Self {
        let n = rows.len() as f64;
        let width = rows.first().map_or(0, Vec::len);
        let of = |i: usize| {
            let mean = rows.iter().map(|row| row[i]).sum::<f64>() / n;
            let variance = rows.iter().map(|row| (row[i] - mean).powi(2)).sum::<f64>() / n;
            (mean, variance.sqrt() + 1e-5)
        };
        Self((0..width).map(of).collect())
    }

    /// The standardised features, followed by the constant.
    fn rows(&self, rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let row = |row: &Vec<f64>| {
            let scaled =
                row.iter().zip(&self.0).map(|(x, (mean, deviation))| (x - mean) / deviation);
            scaled.chain([CONSTANT]).collect()
        };
        rows.iter().map(row).collect()
    }
}

/// The matrix W `[D, C]` that minimises |X W - Y|^2 + l |W|^2, for X `[N, D]`, Y `[N, C]` and l > 0.
pub fn ridge(x: &[Vec<f64>], y: &[Vec<f64>], l: f64) -> Vec<Vec<f64>> {
    let (d, classes) = (x[0].len(), y[0].len());
    let product = |i: usize, of: &dyn Fn(usize) -> f64| -> f64 {
        x.iter().enumerate().map(|(n, row)| row[i] * of(n)).sum()
    };
    // X^T X + l I = L L^T (Cholesky), then two triangular systems.
    let mut lower = vec![vec![0.0; d]; d];
    for i in 0..d {
        for j in 0..=i {
            let gram = product(i, &|n| x[n][j]) + if i == j { l } else { 0.0 };
            let rest = gram - (0..j).map(|k| lower[i][k] * lower[j][k]).sum::<f64>();
            lower[i][j] = if i == j { rest.max(l * 1e-9).sqrt() } else { rest / lower[j][j] };
        }
    }
    let mut w = vec![vec![0.0; classes]; d];
    for c in 0..classes {
        for i in 0..d {
            let below = (0..i).map(|k| lower[i][k] * w[k][c]).sum::<f64>();
            w[i][c] = (product(i, &|n| y[n][c]) - below) / lower[i][i];
        }
        for i in (0..d).rev() {
            let above = (i + 1..d).map(|k| lower[k][i] * w[k][c]).sum::<f64>();
            w[i][c] = (w[i][c] - above) / lower[i][i];
        }
    }
    w
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ridge_by_hand() {
        // One feature: w = sum x y / (sum x^2 + l) = (1 * 1 + 2 * 3) / (5 + 2) = 1.
        let x = [vec![1.0], vec![2.0]];
        let w = ridge(&x, &[vec![1.0], vec![3.0]], 2.0);
        assert!((w[0][0] - 1.0).abs() < 1e-12, "{w:?}");
        // Two features of one example, X^T X + I = [[2, 1], [1, 2]], X^T y = (3, 3): w = (1, 1).
        let w = ridge(&[vec![1.0, 1.0]], &[vec![3.0]], 1.0);
        assert!(w.iter().all(|w| (w[0] - 1.0).abs() < 1e-12), "{w:?}");
    }

    #[test]
    fn the_solution_has_no_slope() {
        let x: Vec<Vec<f64>> = (0..7_u32)
            .map(|n| (0..4_u32).map(|i| f64::from(n * 3 + i * i + n * n * i % 5).sin()).collect())
            .collect();
        let y: Vec<Vec<f64>> = (0..7_u32).map(|n| vec![f64::from(n).cos(), 1.0]).collect();
        let (l, w) = (0.3, ridge(&x, &y, 0.3));
        for i in 0..4 {
            for c in 0..2 {
                let left = |n: usize| (0..4).map(|k| x[n][k] * w[k][c]).sum::<f64>() - y[n][c];
                let slope = (0..7).map(|n| x[n][i] * left(n)).sum::<f64>() + l * w[i][c];
                assert!(slope.abs() < 1e-12, "{slope}");
            }
        }
    }

    #[test]
    fn features_are_standardised_by_the_few() {
        let rows = vec![vec![1.0, 5.0], vec![3.0, 5.0]];
        let standard = Standard::of(&rows);
        let found = standard.rows(&[vec![4.0, 5.0]]);
        // Mean 2, deviation 1; the second feature does not vary.
        assert!((found[0][0] - 2.0 / 1.00001).abs() < 1e-12);
        assert_eq!(found[0][1..], [0.0, 100.0]);
    }

    #[test]
    fn separable_classes_are_told_apart() {
        let rows = |points: &[(f64, f64, usize)]| Rows {
            x: points.iter().map(|(a, b, _)| vec![*a, *b]).collect(),
            labels: points.iter().map(|(.., label)| *label).collect(),
        };
        let support = rows(&[(0.0, 0.0, 0), (0.1, 0.2, 0), (3.0, 3.1, 1), (2.9, 3.0, 1)]);
        let asked = rows(&[(0.2, 0.1, 0), (3.2, 2.8, 1), (3.0, 3.3, 1), (9.0, 9.0, 0)]);
        assert_eq!(best_accuracy(&support, &asked, 2), 0.75);
    }
}
