//! Scores of outputs: cross-entropy, and means over a whole split.

use burn::prelude::*;

use crate::Batch;

/// The negative log-likelihood of each label, `[B, T, V]` and `[B, T]` to `[B * T]`, in nats.
pub fn cross_entropy(output: Tensor<3>, labels: Tensor<2, Int>) -> Tensor<1> {
    let [b, t, v] = output.dims();
    kernels::cross_entropy(output.reshape([b * t, v]), labels.reshape([b * t]))
}

/// A constant tensor on the device of the network's outputs, with autodiff if they have it.
pub(crate) fn constant<const L: usize, const D: usize>(
    like: &Tensor<L>,
    values: Tensor<D>,
) -> Tensor<D> {
    if like.device().is_autodiff() { Tensor::from_inner(values) } else { values }
}

/// Means of measures over many batches, with equal weight for every answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Score {
    sums: Vec<Sum>,
}

#[derive(Clone, Debug, PartialEq)]
struct Sum {
    name: &'static str,
    total: f64,
    count: f64,
    /// Whether the measure is e to the power of the mean.
    exponent: bool,
}

impl Score {
    /// Adds a measure's sum over `count` answers.
    pub fn add(&mut self, name: &'static str, sum: f64, count: usize) {
        self.add_to(name, sum, count, false);
    }

    /// Like `add`, for a measure that is e to the power of the mean, such as perplexity.
    pub fn add_exponent(&mut self, name: &'static str, sum: f64, count: usize) {
        self.add_to(name, sum, count, true);
    }

    /// Adds the mean loss of a batch, weighted by its examples.
    pub(crate) fn add_loss(&mut self, mean: Tensor<1>, batch: &Batch) {
        let n = batch.labels.dims()[0];
        self.add("loss", f64::from(mean.into_scalar::<f32>()) * n as f64, n);
    }

    fn add_to(&mut self, name: &'static str, sum: f64, count: usize, exponent: bool) {
        match self.sums.iter_mut().find(|known| known.name == name) {
            Some(known) => {
                known.total += sum;
                known.count += count as f64;
            }
            None => self.sums.push(Sum { name, total: sum, count: count as f64, exponent }),
        }
    }

    /// Whether any value of this measure was added.
    pub fn has(&self, name: &str) -> bool {
        self.sums.iter().any(|known| known.name == name)
    }

    /// All finite means, in the order in which measures were added.
    pub(crate) fn values(&self) -> Vec<(&'static str, f64)> {
        let all = self.sums.iter().map(|sum| (sum.name, self.mean(sum.name)));
        all.filter(|(_, mean)| mean.is_finite()).collect()
    }

    /// The mean of a measure; NaN if nothing was added.
    pub fn mean(&self, name: &str) -> f64 {
        let Some(sum) = self.sums.iter().find(|known| known.name == name) else {
            return f64::NAN;
        };
        let mean = sum.total / sum.count;
        if sum.exponent { mean.exp() } else { mean }
    }
}

/// Adds loss and accuracy of a batch, `[B, T, V]` against `[B, T]`; returns the sum of the loss in nats.
pub(crate) fn classification(output: Tensor<3>, labels: &Tensor<2, Int>, score: &mut Score) -> f64 {
    let [b, t, _] = output.dims();
    let right = output.clone().argmax(2).reshape([b, t]).equal(labels.clone()).int().sum();
    let nats = f64::from(kernels::sum(cross_entropy(output, labels.clone())).into_scalar::<f32>());
    score.add("accuracy", right.into_scalar::<i32>().into(), b * t);
    score.add("loss", nats, b * t);
    nats
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cross_entropy_by_hand() {
        let device = Device::flex();
        // Logits 0 and ln 3 give probabilities 1/4 and 3/4.
        let output = Tensor::<3>::from_floats([[[0.0, 3_f32.ln()], [0.0, 3_f32.ln()]]], &device);
        let labels = Tensor::<2, Int>::from_ints([[0, 1]], &device);
        let loss = cross_entropy(output.clone(), labels.clone()).into_data();
        let loss = loss.try_to_vec::<f32>().unwrap();
        assert!((loss[0] - 4_f32.ln()).abs() < 1e-6, "{loss:?}");
        assert!((loss[1] - (4_f32 / 3.0).ln()).abs() < 1e-6, "{loss:?}");

        let mut score = Score::default();
        classification(output, &labels, &mut score);
        assert_eq!(score.mean("accuracy"), 0.5);
        assert!((score.mean("loss") - (16_f64 / 3.0).ln() / 2.0).abs() < 1e-6);
    }

    #[test]
    fn batches_of_different_sizes_count_by_their_answers() {
        let mut score = Score::default();
        score.add("accuracy", 3.0, 3);
        score.add("accuracy", 0.0, 1);
        assert_eq!(score.mean("accuracy"), 0.75);
        assert!(score.has("accuracy") && !score.has("loss"));
        assert!(score.mean("loss").is_nan());
        assert_eq!(score.values(), [("accuracy", 0.75)]);
        // Not the mean of the batches' perplexities, which would be (1 + 8) / 2.
        score.add_exponent("perplexity", 0.0, 2);
        score.add_exponent("perplexity", 8_f64.ln(), 1);
        assert!((score.mean("perplexity") - 2.0).abs() < 1e-12);
    }
}
