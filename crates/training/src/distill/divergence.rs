//! The divergence between the outputs of student and teacher.
//!
//! p = softmax(z / tau),  KD = tau^2 sum_{b,c} p_T log(p_T / p_S) / n         (1)
//!
//! n is the number of scores, B C, in the published code of DeiT and of m2mKD (`elements`), and the number of
//! predictions, B, in the definition (`batch`): the first result is C times smaller.

use burn::{prelude::*, tensor::activation::log_softmax};
use kernels::sum;
use serde::{Deserialize, Serialize};

/// The divisor of the sum of (1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reduction {
    /// The number of scores.
    Elements,
    /// The number of predictions.
    Batch,
}

/// (1) for scores `[N, C]` of the student and of the teacher; no gradient flows to the teacher.
///
/// # Panics
/// If the shapes differ.
pub fn divergence(
    student: Tensor<2>,
    teacher: Tensor<2>,
    tau: f64,
    reduction: Reduction,
) -> Tensor<1> {
    let [n, classes] = student.dims();
    assert_eq!(teacher.dims(), [n, classes], "the scores must have the same shape");
    let (student, teacher) = (log_softmax(student / tau, 1), log_softmax(teacher / tau, 1));
    let all = sum(teacher.clone().exp() * (teacher - student));
    let count = match reduction {
        Reduction::Elements => n * classes,
        Reduction::Batch => n,
    };
    all * (tau * tau / count as f64)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::worked::{agrees, fill};

    fn scores(salt: u64, device: &Device) -> Tensor<2> {
        Tensor::from_data(TensorData::new(fill(salt, 10, 4.0), [2, 5]), device)
    }

    #[test]
    pub(crate) fn the_published_values() {
        let device = Device::flex();
        let of = |reduction| {
            let found = divergence(scores(140, &device), scores(141, &device), 1.0, reduction);
            found.into_scalar::<f32>()
        };
        agrees("KD over the number of scores", &[of(Reduction::Elements)], &[0.086_939_3]);
        agrees("KD over the number of answers", &[of(Reduction::Batch)], &[0.434_696_5]);
    }

    #[test]
    fn who_answers_alike_is_at_no_distance_and_has_no_gradient() {
        let device = Device::flex().autodiff();
        for tau in [1.0, 2.5] {
            let student = scores(140, &device).require_grad();
            let teacher = scores(140, &Device::flex());
            let value = divergence(student.clone(), teacher, tau, Reduction::Batch);
            assert_eq!(value.clone().into_scalar::<f32>(), 0.0);
            let gradient = student.grad(&value.backward()).unwrap();
            assert!(gradient.abs().max().into_scalar::<f32>() < 1e-7);
        }
    }

    #[test]
    fn the_gradient_is_the_difference_of_the_softmaxes() {
        let device = Device::flex().autodiff();
        let (tau, student) = (2.0, scores(140, &device).require_grad());
        let value = divergence(student.clone(), scores(141, &device), tau, Reduction::Batch);
        let gradient = student.grad(&value.backward()).unwrap();
        let p = |salt| kernels::softmax(scores(salt, &Device::flex()) / tau, 1);
        // tau^2 / N times (p_S - p_T) / tau.
        let expected = (p(140) - p(141)) * (tau / 2.0);
        assert!((gradient - expected).abs().max().into_scalar::<f32>() < 1e-6);
    }
}
