//! Latents: states; codes, on which their computation is conditioned; and signatures, their positions in the
//! graph.
//!
//! noise(c) = c (1 + U(-0.05, 0.05)), for each number by itself, in training            (1)
//! z = mu(LN noise(c)) + exp(logvar(LN noise(c)) / 2) * epsilon,  epsilon ~ N(0, 1)      (2)

use burn::{
    module::{Module, Param},
    nn::Linear,
    prelude::*,
};
use kernels::linear_layer;
use moe::{Init, Pass};
use rand::RngExt;
use rand_distr::StandardNormal;

use super::{CODE, SIGNATURE};
use crate::Norm;

/// Some latents of a batch.
#[derive(Clone)]
pub(super) struct Latents {
    /// `[B, U, D]`.
    pub(super) states: Tensor<3>,
    /// `[U, code]`.
    pub(super) codes: Tensor<2>,
    /// `[U, signature]`.
    pub(super) signatures: Tensor<2>,
}

impl Latents {
    /// The concatenation of these latents and the others.
    pub(super) fn and(&self, other: &Self) -> Self {
        Self {
            states: Tensor::cat(vec![self.states.clone(), other.states.clone()], 1),
            codes: Tensor::cat(vec![self.codes.clone(), other.codes.clone()], 0),
            signatures: Tensor::cat(vec![self.signatures.clone(), other.signatures.clone()], 0),
        }
    }

    /// The same latents with other states.
    pub(super) fn with(&self, states: Tensor<3>) -> Self {
        Self { states, ..self.clone() }
    }
}

/// Codes and signatures of the latents of one kind, which all layers share.
#[derive(Module, Debug)]
pub(super) struct Set {
    /// `[U, code]`.
    pub(super) codes: Param<Tensor<2>>,
    /// `[U, signature]`.
    pub(super) signatures: Param<Tensor<2>>,
}

impl Set {
    /// `count` latents at random places.
    pub(super) fn new(count: usize, init: &Init) -> Self {
        Self {
            codes: init.normal("codes", [count, CODE], 1.0),
            signatures: init.normal("signatures", [count, SIGNATURE], 1.0),
        }
    }
}

/// The maximum relative change of a component of a code, (1), as in the published configuration.
const NOISE: f64 = 0.05;

/// Codes `[U, code]` with noise for one use, (1).
pub(super) fn noisy(pass: &mut Pass, codes: Tensor<2>) -> Tensor<2> {
    if !pass.training() {
        return codes;
    }
    let (shape, mut rng) = (codes.dims(), pass.rng());
    let draw = |_| (1.0 + NOISE * (2.0 * rng.random::<f64>() - 1.0)) as f32;
    let factors: Vec<f32> = (0..shape[0] * shape[1]).map(draw).collect();
    let factors = Tensor::<2>::from_data(TensorData::new(factors, shape), &codes.device().inner());
    codes * factors
}

/// The first states of latents, (2); one seeder for all kinds.
#[derive(Module, Debug)]
pub(super) struct Seeder {
    norm: Norm,
    mean: Linear,
    log_variance: Linear,
}

impl Seeder {
    pub(super) fn new(code: usize, width: usize, init: &Init) -> Self {
        let variance = init.linear("log_variance", code, width, false);
        let bias = init.at("log_variance").constant("bias", [width], -5.0);
        Self {
            norm: Norm::layer(init, "norm", code, 1e-5),
            mean: init.linear("mean", code, width, true),
            log_variance: Linear { bias: Some(bias), ..variance },
        }
    }

    /// mu and sigma, `[U, D]`, for codes `[U, code]`.
    fn moments(&self, codes: Tensor<2>) -> [Tensor<2>; 2] {
        let codes = self.norm.forward(codes.unsqueeze()).squeeze_dim::<2>(0);
        let log_variance = linear_layer(&self.log_variance, codes.clone());
        [linear_layer(&self.mean, codes), (log_variance * 0.5).exp()]
    }

    /// States `[B, U, D]` for codes `[U, code]`.
    pub(super) fn forward(&self, pass: &mut Pass, examples: usize, codes: Tensor<2>) -> Tensor<3> {
        let [mean, deviation] = self.moments(codes);
        let ([u, d], mut rng) = (mean.dims(), pass.rng());
        let draw = |_| rng.sample::<f64, _>(StandardNormal) as f32;
        let epsilon: Vec<f32> = (0..examples * u * d).map(draw).collect();
        let data = TensorData::new(epsilon, [examples, u, d]);
        let epsilon = Tensor::<3>::from_data(data, &mean.device().inner());
        mean.unsqueeze::<3>() + deviation.unsqueeze::<3>() * epsilon
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::nac::testing::{given, near, values};

    fn seeder() -> Seeder {
        given(
            Seeder::new(3, 4, &Init::new(0, &Device::flex())),
            &[
                ("norm.gamma", 120),
                ("norm.beta", 121),
                ("mean.weight", 122),
                ("mean.bias", 123),
                ("log_variance.weight", 124),
                ("log_variance.bias", 125),
            ],
        )
    }

    #[test]
    pub(crate) fn the_published_moments() {
        let [mean, deviation] = seeder().moments(values(130, [2, 3]));
        near(
            "seeder, mu of code 0",
            mean.narrow(0, 0, 1),
            &[-0.435463, -0.549544, 0.332771, -0.179004],
        );
        near(
            "seeder, sigma of code 0",
            deviation.narrow(0, 0, 1),
            &[1.145086, 1.148686, 1.138249, 1.056843],
        );
    }

    #[test]
    fn states_have_these_moments_and_are_the_same_in_each_evaluation() {
        let states = || seeder().forward(&mut Pass::eval(), 4000, values(130, [2, 3]));
        let mean: Vec<f32> = states().mean_dim(0).into_data().iter().collect();
        assert!((mean[0] + 0.435463).abs() < 4.0 * 1.145 / 4000_f32.sqrt());
        assert_eq!(states().into_data(), states().into_data());
    }

    #[test]
    fn codes_are_noisy_in_training_only() {
        let codes = || values::<2>(130, [2, 3]);
        assert_eq!(noisy(&mut Pass::eval(), codes()).into_data(), codes().into_data());
        let noise = noisy(&mut Pass::train(0, 0, 0.0), codes());
        let share = ((noise / codes()) - 1.0).abs().into_data();
        let share: Vec<f32> = share.iter().collect();
        assert!(share.iter().all(|share| *share > 0.0 && *share <= 0.0501), "{share:?}");
    }
}
