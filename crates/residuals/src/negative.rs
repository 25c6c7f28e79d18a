//! Negative momentum: each layer undoes a part of the previous step.
//!
//! Gidel et al. *Negative Momentum for Improved Game Dynamics*. AISTATS 2019.
//! <https://arxiv.org/abs/1807.04740> (for weights).
//!
//! m_t = -mu m_{t-1} + gamma f(x_t)             (1)
//! x_{t+1} = x_t - m_t                          (2)
//!
//! Evidence: our own extension of MomentumSMoE; that its authors tried it is a vague memory. On a
//! quadratic function it is stable only for a curvature between 0 and 2 - 2 mu.

use burn::{module::Module, prelude::*};
use moe::{Init, Pass, ResidualRule, config};

use crate::moment;

config! {
    /// The coefficient of the negative momentum.
    pub struct NegativeConfig {
        /// The share of the moment that is subtracted again.
        pub mu: f64 = 0.3,
        /// The step.
        pub gamma: f64 = 1.0,
    }
}

/// The heavy ball with a negative coefficient.
#[derive(Module, Debug)]
pub struct Negative {
    mu: f64,
    gamma: f64,
}

impl ResidualRule for Negative {
    type Config = NegativeConfig;
    const NAME: &'static str = "negative";
    const ABOUT: &'static str = "momentum with a negative coefficient";
    const PAPER: &'static str = "https://arxiv.org/abs/1807.04740";

    fn check(config: &NegativeConfig) -> Result<(), String> {
        moment::share("mu", config.mu)?;
        moment::finite("gamma", config.gamma)
    }

    fn init(config: &NegativeConfig, _width: usize, _init: &Init) -> Self {
        Self { mu: config.mu, gamma: config.gamma }
    }

    fn join(&self, pass: &mut Pass, x: Tensor<3>, output: Tensor<3>) -> Tensor<3> {
        x - moment::carry(pass, -self.mu, output * self.gamma) // (1), (2)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{along, close};

    #[test]
    fn two_layers_by_hand() {
        close(&along("negative", &[("mu", 0.5)], 1.0, &[1.0, 2.0]), &[0.0, -1.5]);
    }

    #[test]
    fn without_memory_it_is_add() {
        let x = along("negative", &[("mu", 0.0), ("gamma", -1.0)], 1.0, &[1.0, 2.0]);
        assert_eq!(x, along("add", &[], 1.0, &[1.0, 2.0]));
    }
}
