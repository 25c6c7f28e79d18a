//! Adam in the first MoE layer, the heavy ball in those after it.
//!
//! Teo, Nguyen. *MomentumSMoE: Integrating Momentum into Sparse Mixture of Experts*. NeurIPS 2024.
//! <https://arxiv.org/abs/2410.14574>
//! Kingma, Ba. *Adam*. ICLR 2015. <https://arxiv.org/abs/1412.6980>
//!
//! In the first MoE layer, from p = v = 0:
//!
//! p = beta1 p + (1 - beta1) f                  (1)
//! v = beta2 v + (1 - beta2) f^2                (2)
//! x' = x - (gamma1 p / sqrt(v + epsilon) + kappa x)   (3)
//! m = gamma f                                  (4), begins here, and is used from the next layer on
//!
//! In those after it:
//!
//! m = mu m + gamma f                           (5)
//! x' = x - m                                   (6)
//!
//! With gamma1 = kappa = 1, as in the code, the residual cancels: from p = v = 0, (3) is -3.16 sign(f),
//! except if f is near 0. A norm must follow, and a second residual connection around both.
//!
//! Evidence: read in the published code of the language model. Differs from Adam, as the code does: no
//! correction of the bias at the start, epsilon within the root, and (1) to (3) are computed only once. No
//! later layer reads p and v, so they are not passed on.

use burn::{module::Module, prelude::*};
use moe::{Init, Pass, ResidualRule, config};

use crate::moment;

config! {
    /// The coefficients of both parts.
    pub struct AdamConfig {
        /// The decay of the mean square, in the first layer.
        pub beta2: f64 = 0.999,
        /// A small number that keeps the root above zero.
        pub epsilon: f64 = 1e-8,
        /// The decay of the moment, in the later layers.
        pub mu: f64 = 0.7,
        /// The step of the later layers.
        pub gamma: f64 = 1.0,
    }
}

/// The decay of the mean, in the first layer, as in the published code.
const BETA1: f64 = 0.9;

/// The step of the first layer, as in the published code.
const GAMMA1: f64 = 1.0;

/// The weight decay that is applied to the stream in the first layer, as in the published code.
const KAPPA: f64 = 1.0;

/// Adam in the first layer, then the heavy ball.
#[derive(Module, Debug)]
pub struct Adam {
    #[module(skip)]
    config: AdamConfig,
}

impl ResidualRule for Adam {
    type Config = AdamConfig;
    const NAME: &'static str = "adam";
    const ABOUT: &'static str = "Adam in the first MoE layer, then momentum (AdamSMoE)";
    const PAPER: &'static str = "https://arxiv.org/abs/2410.14574";

    fn check(config: &AdamConfig) -> Result<(), String> {
        moment::share("beta2", config.beta2)?;
        moment::share("mu", config.mu)?;
        moment::positive("epsilon", config.epsilon)?;
        moment::finite("gamma", config.gamma)
    }

    fn init(config: &AdamConfig, _width: usize, _init: &Init) -> Self {
        Self { config: config.clone() }
    }

    fn join(&self, pass: &mut Pass, x: Tensor<3>, output: Tensor<3>) -> Tensor<3> {
        let first = moment::before(pass).is_none();
        let m = moment::carry(pass, self.config.mu, output.clone() * self.config.gamma); // (4), (5)
        match first {
            true => self.first(x, output),
            false => x - m, // (6)
        }
    }
}

impl Adam {
    fn first(&self, x: Tensor<3>, f: Tensor<3>) -> Tensor<3> {
        let AdamConfig { beta2, epsilon, .. } = self.config;
        let p = f.clone() * (1.0 - BETA1); // (1)
        let v = f.square() * (1.0 - beta2); // (2)
        x.clone() - (p / (v + epsilon).sqrt() * GAMMA1 + x * KAPPA) // (3)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{along, close};

    #[test]
    fn the_first_layer_is_nearly_a_sign_and_the_next_has_its_moment() {
        // -0.1 / sqrt(0.001 + 1e-8) = -3.1622619; then m = 0.7 * 1 + 2.
        let x = along("adam", &[], 5.0, &[1.0, 2.0]);
        close(&x, &[-3.162_262, -3.162_262 - 2.7]);
    }
}
