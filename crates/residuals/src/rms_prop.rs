//! RMSProp from layer to layer: each channel's step is divided by the root mean square of its outputs.
//!
//! Teo, Nguyen. *MomentumSMoE: Integrating Momentum into Sparse Mixture of Experts*. NeurIPS 2024.
//! <https://arxiv.org/abs/2410.14574>
//! Tieleman, Hinton. *Lecture 6.5: RMSProp*. 2012.
//!
//! v_t = beta v_{t-1} + (1 - beta) f_t^2        (1)
//! x_{t+1} = x_t - gamma f_t / sqrt(v_t + epsilon)   (2)
//!
//! Evidence: that the paper has such a variant is from memory; the formula is the standard one.
//! Epsilon is within the root, as in the published code of `adam`; the defaults are ours.
//!
//! From v = 0 the first step is gamma / sqrt(1 - beta) in each channel, however small f is.

use burn::{module::Module, prelude::*};
use moe::{Init, Pass, ResidualRule, config};

use crate::moment;

config! {
    /// The coefficients.
    pub struct RmsPropConfig {
        /// The decay of the mean square.
        pub beta: f64 = 0.9,
        /// The step.
        pub gamma: f64 = 1.0,
        /// A small number that keeps the root above zero.
        pub epsilon: f64 = 1e-8,
    }
}

/// Steps divided by the root of a running mean square.
#[derive(Module, Debug)]
pub struct RmsProp {
    beta: f64,
    gamma: f64,
    epsilon: f64,
}

/// The mean square v, `[B, T, D]`, after the previous layer.
struct MeanSquare(Tensor<3>);

impl ResidualRule for RmsProp {
    type Config = RmsPropConfig;
    const NAME: &'static str = "rms-prop";
    const ABOUT: &'static str = "outputs divided by the root of their mean square over the layers";
    const PAPER: &'static str = "https://arxiv.org/abs/2410.14574";

    fn check(config: &RmsPropConfig) -> Result<(), String> {
        moment::share("beta", config.beta)?;
        moment::finite("gamma", config.gamma)?;
        moment::positive("epsilon", config.epsilon)
    }

    fn init(config: &RmsPropConfig, _width: usize, _init: &Init) -> Self {
        Self { beta: config.beta, gamma: config.gamma, epsilon: config.epsilon }
    }

    fn join(&self, pass: &mut Pass, x: Tensor<3>, output: Tensor<3>) -> Tensor<3> {
        let before = pass.take().map(|MeanSquare(v)| v);
        let square = output.clone().square() * (1.0 - self.beta);
        let v = moment::mixed(before, self.beta, square); // (1)
        pass.put(MeanSquare(v.clone()));
        x - output / (v + self.epsilon).sqrt() * self.gamma // (2)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{along, close};

    #[test]
    fn two_layers_by_hand() {
        // v = 0.75 * 4 = 3, step 2 / sqrt 3; v = 0.75 + 0.75 * 1 = 1.5, step 1 / sqrt 1.5.
        let x = along("rms-prop", &[("beta", 0.25)], 1.0, &[2.0, 1.0]);
        let first = 1.0 - 2.0 / 3_f32.sqrt();
        close(&x, &[first, first - 1.0 / 1.5_f32.sqrt()]);
    }
}
