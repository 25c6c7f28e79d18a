//! The last linear map of a decoder, from the stream to the scores of the vocabulary.
//!
//! y = W h + b                                              (1)
//!
//! NormHead: Ling Team. *Every FLOP Counts: Scaling a 300B Mixture-of-Experts LING LLM without Premium
//! GPUs*. 2025. <https://arxiv.org/abs/2503.05139>, equation 4; Yang et al. *Baichuan 2*. 2023.
//! <https://arxiv.org/abs/2309.10305>.
//!
//! y = (W / (|W| + 1e-7)) h                                 (2)
//!
//! The paper of Ling does not name the axis; in its published code each column of W, `[V, D]`, has length 1,
//! so that each component of the stream has the same weight; in that of Baichuan 2 each row has length 1, so
//! that each token has the same weight. In both no gradient flows through the norm.
//!
//! In evaluation the head reports the size of the scores, which NormHead is meant to limit: `logit_rms`, the
//! root of the mean square of a token's scores, and `logit_max`, the largest absolute score, both as means
//! over the tokens.
//!
//! Differs from the published codes: they replace W by the normalised matrix once, for evaluation; here it is
//! computed in each pass, with the same result.

use burn::{
    module::{Module, Param},
    prelude::*,
};
use kernels::{linear, mean};
use moe::{Init, Pass, config};
use serde::{Deserialize, Serialize};

/// The axis along which the matrix of a head, `[V, D]`, is normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadNorm {
    /// No normalisation, (1).
    None,
    /// The column of each component of the stream, as in Ling.
    Column,
    /// The row of each token, as in Baichuan 2.
    Row,
}

config! {
    /// The last linear map of a decoder.
    pub struct HeadConfig {
        /// The normalised axis of its matrix: none, each `column` (Ling), or each `row` (Baichuan 2).
        pub norm: HeadNorm = HeadNorm::None,
        /// Whether the head shares the matrix of the embedding (tied weights).
        pub tied: bool = false,
        /// Whether the head has a bias.
        pub bias: bool = false,
    }
}

/// The last linear map of a decoder.
#[derive(Module, Debug)]
pub struct Head {
    /// The matrix, `[D, V]`; none if it is the embedding's.
    weight: Option<Param<Tensor<2>>>,
    bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    norm: HeadNorm,
}

impl Head {
    /// A fresh head from width `width` to `outputs`.
    pub fn new(config: &HeadConfig, [width, outputs]: [usize; 2], init: &Init) -> Self {
        let made = init.linear("head", width, outputs, config.bias);
        Self { weight: (!config.tied).then_some(made.weight), bias: made.bias, norm: config.norm }
    }

    /// `[B, T, D] -> [B, T, V]`. The embedding is `[V, D]`.
    pub fn forward(
        &self,
        pass: &mut Pass,
        x: Tensor<3>,
        embedding: &Param<Tensor<2>>,
    ) -> Tensor<3> {
        let weight = match &self.weight {
            Some(weight) => weight.val(),
            None => embedding.val().transpose(),
        };
        let y = linear(x, self.scaled(weight), self.bias.as_ref().map(Param::val)); // (1), (2)
        if !pass.training() {
            pass.metric("logit_rms", mean(y.clone().square().mean_dim(2).sqrt()));
            pass.metric("logit_max", mean(y.clone().abs().max_dim(2)));
        }
        y
    }

    /// Floating-point operations for one token.
    pub fn flops(&self, embedding: &Param<Tensor<2>>) -> f64 {
        2.0 * self.weight.as_ref().unwrap_or(embedding).lazy_shape().num_elements() as f64
    }

    /// The normalised, transposed matrix, `[D, V]`.
    fn scaled(&self, weight: Tensor<2>) -> Tensor<2> {
        // The matrix is transposed, so a column of W is a row here.
        let axis = match self.norm {
            HeadNorm::None => return weight,
            HeadNorm::Column => 1,
            HeadNorm::Row => 0,
        };
        let length = weight.clone().square().sum_dim(axis).sqrt() + 1e-7;
        weight / length.detach()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fill;

    fn head(norm: HeadNorm) -> (Head, Param<Tensor<2>>) {
        let init = Init::new(0, &Device::flex().autodiff());
        let config = HeadConfig { norm, tied: true, bias: false };
        let embedding = init.given("embedding", [5, 3], fill(300, 15, 2.0));
        (Head::new(&config, [3, 5], &init), embedding)
    }

    fn logits(norm: HeadNorm) -> Vec<f32> {
        let (head, embedding) = head(norm);
        let h = TensorData::new(fill(301, 6, 2.0), [1, 2, 3]);
        let y = head.forward(&mut Pass::eval(), Tensor::from_data(h, &Device::flex()), &embedding);
        y.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn the_published_logits() {
        for (norm, expected) in [
            (HeadNorm::Column, [-0.570510, 0.581527, -0.213571, -0.017343, -0.402426]),
            (HeadNorm::Row, [-0.406997, 0.524858, -0.314109, -0.042281, -0.468713]),
        ] {
            for (found, expected) in logits(norm).iter().zip(expected) {
                assert!((found - expected).abs() < 1e-5, "{norm:?}: {found}, not {expected}");
            }
        }
    }

    /// The matrix, and the gradient of the sum of weighted scores with respect to it, both `[V, D]`.
    fn gradient(norm: HeadNorm) -> [Tensor<2>; 2] {
        let (head, embedding) = head(norm);
        let device = Device::flex();
        let h = TensorData::new(fill(301, 6, 2.0), [1, 2, 3]);
        let weights = TensorData::new(fill(302, 10, 1.0), [1, 2, 5]);
        let pass = || Pass::train(0, 0, 0.0);
        let y = head.forward(&mut pass(), Tensor::from_data(h, &device), &embedding);
        let grads = (y * Tensor::from_data(weights, &device)).sum().backward();
        [embedding.val().inner(), embedding.val().grad(&grads).unwrap()]
    }

    #[test]
    fn no_gradient_goes_through_the_length() {
        let [matrix, plain] = gradient(HeadNorm::None);
        for (norm, axis) in [(HeadNorm::Column, 0), (HeadNorm::Row, 1)] {
            // The norm as a constant: the gradient of (1) divided by the length.
            let [_, constant] = gradient(norm);
            let length = matrix.clone().square().sum_dim(axis).sqrt();
            let gap = (constant - plain.clone() / length).abs().max().into_scalar::<f32>();
            assert!(gap < 1e-6, "{norm:?}: {gap}");
        }
    }

    #[test]
    fn evaluation_tells_how_large_the_scores_are() {
        let (head, embedding) = head(HeadNorm::Column);
        let h =
            || Tensor::from_data(TensorData::new(fill(301, 6, 2.0), [1, 2, 3]), &Device::flex());
        let mut pass = Pass::eval();
        let y = head.forward(&mut pass, h(), &embedding).into_data().try_to_vec::<f32>().unwrap();
        let rms = |y: &[f32]| (y.iter().map(|x| x * x).sum::<f32>() / 5.0).sqrt();
        let max = |y: &[f32]| y.iter().fold(0_f32, |most, x| most.max(x.abs()));
        // The first token's scores are the published ones above.
        assert!((rms(&y[..5]) - 0.417_496).abs() < 1e-5 && (max(&y[..5]) - 0.581_527).abs() < 1e-5);
        let mean = |of: &dyn Fn(&[f32]) -> f32| (of(&y[..5]) + of(&y[5..])) / 2.0;
        let found = pass.metrics();
        for ((name, value), expected) in found.iter().zip([mean(&rms), mean(&max)]) {
            assert!((*value as f32 - expected).abs() < 1e-6, "{name}: {value}, not {expected}");
        }
        assert_eq!(found.len(), 2);
        let mut pass = Pass::train(0, 0, 0.0);
        head.forward(&mut pass, h(), &embedding);
        assert!(pass.metrics().is_empty(), "training is not slowed down");
    }

    #[test]
    fn a_tied_head_has_no_matrix_of_its_own() {
        let init = Init::new(0, &Device::flex());
        let of = |tied| HeadConfig { tied, bias: true, ..HeadConfig::default() };
        assert_eq!(Head::new(&of(true), [3, 5], &init).num_params(), 5);
        assert_eq!(Head::new(&of(false), [3, 5], &init).num_params(), 20);
    }
}
