//! The cross-entropy between scores and labels, without a tensor of probabilities.

use std::sync::Arc;

use burn::{
    backend::{
        Autodiff, Backend, Dispatch, Flex, TensorMetadata,
        autodiff::checkpoint::strategy::CheckpointStrategy, backend_extension, flex::FlexTensor,
        tensor::FloatTensor,
    },
    tensor::{Int, Tensor, activation::log_softmax},
};
use rayon::prelude::*;

use crate::{
    differentiable::{SavedForBackward, differentiable},
    flex::{slice, takes, zeros},
    math::exp_negative,
    read_back::read_back,
    simd::{largest, sum, sum_of, vectorized},
};

/// The negative log-likelihood of each label, `[N, V]` and `[N]` to `[N]`, in nats.
///
/// # Panics
/// If a label is not in `0..V`, or if the number of labels is not N.
pub fn cross_entropy(scores: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    assert_eq!(scores.dims()[0], labels.dims()[0], "each row must have one label");
    if !takes(&scores) {
        return portable(scores, labels);
    }
    let labels: Vec<usize> = read_back(labels).iter::<i64>().map(|label| label as usize).collect();
    let classes = scores.dims()[1];
    assert!(labels.iter().all(|label| *label < classes), "labels must be below {classes}");
    let scores = scores.into_dispatch();
    Tensor::from_dispatch(<Dispatch as CrossEntropy>::cross_entropy(scores, Arc::new(labels)))
}

fn portable(scores: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    log_softmax(scores, 1).gather(1, labels.unsqueeze_dim(1)).neg().squeeze_dim(1)
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait CrossEntropy: Backend {
    /// See [`cross_entropy`].
    fn cross_entropy(scores: FloatTensor<Self>, labels: Arc<Vec<usize>>) -> FloatTensor<Self>;
}

/// Its backward pass.
pub(crate) trait CrossEntropyBackward: CrossEntropy {
    /// The gradient of the scores, from the scores and the output's gradient.
    fn cross_entropy_backward(
        scores: FloatTensor<Self>,
        labels: Arc<Vec<usize>>,
        dy: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// The number of lines of a piece of work.
const LINES: usize = 64;

impl CrossEntropy for Flex {
    fn cross_entropy(scores: FlexTensor, labels: Arc<Vec<usize>>) -> FlexTensor {
        let scores = scores.to_contiguous();
        let [n, v] = scores.shape().dims();
        let mut y = zeros([n]);
        let out: &mut [f32] = y.storage_mut();
        let lines = out.par_iter_mut().with_min_len(LINES).zip(slice(&scores).par_chunks(v.max(1)));
        lines.zip(&*labels).for_each(|((y, line), label)| {
            let (most, total) = (largest(line), total(line));
            *y = total.ln() + most - line[*label];
        });
        y
    }
}

impl CrossEntropyBackward for Flex {
    fn cross_entropy_backward(
        scores: FlexTensor,
        labels: Arc<Vec<usize>>,
        dy: FlexTensor,
    ) -> FlexTensor {
        let (mut dx, dy) = (scores.to_contiguous(), dy.to_contiguous());
        drop(scores);
        let [_, v] = dx.shape().dims();
        let out: &mut [f32] = dx.storage_mut();
        let lines = out.par_chunks_mut(v.max(1)).with_min_len(LINES);
        lines.zip(slice(&dy)).zip(&*labels).for_each(|((line, dy), label)| {
            probabilities(line, *dy);
            line[*label] -= dy;
        });
        dx
    }
}

vectorized! {
    /// The sum of `e^(x - largest)`.
    fn total(line: &[f32]) -> f32 {
        let most = largest(line);
        sum_of(line, |x| exp_negative(x - most))
    }
}

vectorized! {
    /// `line = s softmax(line)`.
    fn probabilities(line: &mut [f32], s: f32) {
        let most = largest(line);
        for x in &mut *line {
            *x = exp_negative(*x - most);
        }
        let factor = s / sum(line);
        for x in line {
            *x *= factor;
        }
    }
}

impl<B: CrossEntropyBackward, C: CheckpointStrategy> CrossEntropy for Autodiff<B, C> {
    fn cross_entropy(scores: FloatTensor<Self>, labels: Arc<Vec<usize>>) -> FloatTensor<Self> {
        let tracked = |scores: FloatTensor<B>| {
            let labels = labels.clone();
            (B::cross_entropy(scores.clone(), labels.clone()), Inputs { scores, labels })
        };
        differentiable::<B, C, _>(scores, tracked, |x| B::cross_entropy(x, labels.clone()))
    }
}

#[derive(Clone, Debug)]
struct Inputs<T> {
    scores: T,
    labels: Arc<Vec<usize>>,
}

impl<B: CrossEntropyBackward> SavedForBackward<B> for Inputs<FloatTensor<B>> {
    fn gradient(self, dy: FloatTensor<B>) -> FloatTensor<B> {
        B::cross_entropy_backward(self.scores, self.labels, dy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution, TensorData};

    #[test]
    fn it_is_the_composition_forward_and_backward() {
        let device = Device::flex().autodiff();
        let scores = Tensor::<2>::random([150, 37], Distribution::Normal(0.0, 3.0), &device);
        let weights = Tensor::<1>::random([150], Distribution::Default, &device);
        let labels: Vec<i32> = (0..150).map(|i| i * 11 % 37).collect();
        let labels =
            Tensor::<1, Int>::from_data(TensorData::from(labels.as_slice()), &Device::flex());
        let run = |f: fn(Tensor<2>, Tensor<1, Int>) -> Tensor<1>| {
            let scores = scores.clone().detach().require_grad();
            let y = f(scores.clone(), labels.clone());
            let grads = (y.clone() * weights.clone()).sum().backward();
            [y.into_data(), scores.grad(&grads).unwrap().into_data()]
        };
        for (fast, slow) in run(cross_entropy).iter().zip(run(portable)) {
            for (a, b) in fast.iter::<f32>().zip(slow.iter::<f32>()) {
                assert!((a - b).abs() <= 2e-6 * b.abs().max(1.0), "{a} {b}");
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_none() {
        let device = Device::flex();
        let scores = Tensor::<2>::from_floats([[0.0, f32::NAN, 1.0]], &device);
        let loss = cross_entropy(scores, Tensor::from_ints([0], &device));
        assert!(loss.into_scalar::<f32>().is_nan());
    }

    #[test]
    #[should_panic(expected = "labels must be below 2")]
    fn labels_out_of_range_are_refused() {
        let device = Device::flex();
        let _ = cross_entropy(Tensor::zeros([1, 2], &device), Tensor::from_ints([2], &device));
    }
}
