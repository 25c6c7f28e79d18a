//! Norms over the last axis, with a scale, and with or without a mean and a shift.

use burn::{
    module::{Module, Param},
    prelude::*,
};
use kernels::{layer_norm, rms_norm};
use moe::Init;

/// A norm over the last axis.
#[derive(Module, Debug)]
pub struct Norm {
    gamma: Param<Tensor<1>>,
    /// The shift of a layer norm; a root-mean-square norm has none, and does not subtract the mean.
    beta: Option<Param<Tensor<1>>>,
    epsilon: f64,
}

impl Norm {
    /// Checks that `epsilon` can be added to a mean square in single precision.
    pub(crate) fn check(epsilon: f64) -> Result<(), String> {
        match (1e-30..=1.0).contains(&epsilon) {
            true => Ok(()),
            false => Err(format!("epsilon = {epsilon}: must be from 1e-30 to 1")),
        }
    }

    /// A layer norm: mean 0 and variance 1, then a scale, initially 1, and a shift, initially 0.
    pub fn layer(init: &Init, name: &str, width: usize, epsilon: f64) -> Self {
        let beta = init.at(name).constant("beta", [width], 0.0);
        Self { beta: Some(beta), ..Self::rms(init, name, width, epsilon) }
    }

    /// A root-mean-square norm: root mean square 1, then a scale, initially 1.
    pub fn rms(init: &Init, name: &str, width: usize, epsilon: f64) -> Self {
        Self { gamma: init.at(name).constant("gamma", [width], 1.0), beta: None, epsilon }
    }

    /// `[B, T, D] -> [B, T, D]`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let gamma = self.gamma.val();
        match &self.beta {
            Some(beta) => layer_norm(x, gamma, Some(beta.val()), self.epsilon),
            None => rms_norm(x, gamma, self.epsilon),
        }
    }
}
