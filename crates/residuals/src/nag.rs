//! Nesterov's momentum: the layer is evaluated at the point that the moment alone reaches.
//!
//! Teo, Nguyen. *MomentumSMoE: Integrating Momentum into Sparse Mixture of Experts*. NeurIPS 2024.
//! <https://arxiv.org/abs/2410.14574>
//! Nesterov. *A method for solving the convex programming problem with convergence rate O(1/k^2)*. 1983.
//!
//! f_t = f(x_t - mu m_{t-1})                    (1)
//! m_t = mu m_{t-1} + gamma f_t                 (2)
//! x_{t+1} = x_t - m_t                          (3)
//!
//! Evidence: that the paper has such a variant is from memory; the formula is the standard one. If there
//! is a norm before the layer, the moment is subtracted after the norm, as in the published code of
//! `robust`.

use burn::{module::Module, prelude::*};
use moe::{Init, Pass, ResidualRule, Visit, config};

use crate::moment;

config! {
    /// Coefficients of the momentum.
    pub struct NagConfig {
        /// The decay of the moment, mu.
        pub mu: f64 = 0.7,
        /// The step.
        pub gamma: f64 = 1.0,
    }
}

/// Momentum with a look-ahead.
#[derive(Module, Debug)]
pub struct Nag {
    mu: f64,
    gamma: f64,
}

impl ResidualRule for Nag {
    type Config = NagConfig;
    const NAME: &'static str = "nag";
    const ABOUT: &'static str = "Nesterov's momentum from layer to layer";
    const PAPER: &'static str = "https://arxiv.org/abs/2410.14574";

    fn check(config: &NagConfig) -> Result<(), String> {
        moment::share("mu", config.mu)?;
        moment::finite("gamma", config.gamma)
    }

    fn init(config: &NagConfig, _width: usize, _init: &Init) -> Self {
        Self { mu: config.mu, gamma: config.gamma }
    }

    fn join(&self, pass: &mut Pass, x: Tensor<3>, output: Tensor<3>) -> Tensor<3> {
        x - moment::carry(pass, self.mu, output * self.gamma) // (2), (3)
    }

    fn step(&self, pass: &mut Pass, x: Tensor<3>, input: Tensor<3>, layer: Visit) -> Tensor<3> {
        let ahead = moment::mixed(moment::before(pass), -self.mu, input);
        let f = layer(pass, ahead); // (1)
        self.join(pass, x, f)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{along, close, descend};

    #[test]
    fn two_layers_by_hand() {
        // f(z) = z / 2 from 1: m = 0.5, x = 0.5. Then the layer's input is 0.5 - 0.25: f = 0.125,
        // m = 0.25 + 0.125, x = 0.125.
        close(&descend("nag", &[("mu", 0.5)], 0.5, 2), &[0.5, 0.125]);
    }

    #[test]
    fn without_memory_it_is_add() {
        let f = [1.0, 2.0, -1.0];
        let x = along("nag", &[("mu", 0.0), ("gamma", -1.0)], 1.0, &f);
        assert_eq!(x, along("add", &[], 1.0, &f));
    }
}
