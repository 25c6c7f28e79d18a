//! Momentum from layer to layer: the heavy ball.
//!
//! Teo, Nguyen. *MomentumSMoE: Integrating Momentum into Sparse Mixture of Experts*. NeurIPS 2024.
//! <https://arxiv.org/abs/2410.14574>
//! Polyak. *Some methods of speeding up the convergence of iteration methods*. 1964.
//!
//! p_t = mu p_{t-1} - f(x_t)                    (1)
//! x_{t+1} = x_t + gamma p_t                    (2)
//!
//! With m = -gamma p, as in the published code:
//!
//! m_t = mu m_{t-1} + gamma f(x_t)              (1')
//! x_{t+1} = x_t - m_t                          (2')
//!
//! With mu = 0 and gamma = -1 it is `add`. The sign is that of the code; the last matrix of the experts
//! compensates for it, since its weights are as likely negative as positive.
//!
//! Evidence: read in the published code of the language model. The norms around the rule are part of the
//! backbone, see its `wiring`.

use burn::{module::Module, prelude::*};
use moe::{Init, Pass, ResidualRule, config};

use crate::moment;

config! {
    /// Coefficients of the momentum.
    pub struct HeavyBallConfig {
        /// The decay of the moment, mu.
        pub mu: f64 = 0.7,
        /// The step.
        pub gamma: f64 = 1.0,
    }
}

/// The moment over all previous layers is subtracted.
#[derive(Module, Debug)]
pub struct HeavyBall {
    mu: f64,
    gamma: f64,
}

impl ResidualRule for HeavyBall {
    type Config = HeavyBallConfig;
    const NAME: &'static str = "heavy-ball";
    const ABOUT: &'static str = "momentum from layer to layer (MomentumSMoE)";
    const PAPER: &'static str = "https://arxiv.org/abs/2410.14574";

    fn check(config: &HeavyBallConfig) -> Result<(), String> {
        moment::share("mu", config.mu)?;
        moment::finite("gamma", config.gamma)
    }

    fn init(config: &HeavyBallConfig, _width: usize, _init: &Init) -> Self {
        Self { mu: config.mu, gamma: config.gamma }
    }

    fn join(&self, pass: &mut Pass, x: Tensor<3>, output: Tensor<3>) -> Tensor<3> {
        x - moment::carry(pass, self.mu, output * self.gamma) // (1'), (2')
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{along, close};

    #[test]
    fn three_layers_by_hand() {
        // m = 1, 0.5 + 2 = 2.5, 1.25 - 1 = 0.25.
        let x = along("heavy-ball", &[("mu", 0.5), ("gamma", 1.0)], 1.0, &[1.0, 2.0, -1.0]);
        close(&x, &[0.0, -2.5, -2.75]);
    }

    #[test]
    fn without_memory_it_is_add() {
        let x = along("heavy-ball", &[("mu", 0.0), ("gamma", -1.0)], 1.0, &[1.0, 2.0, -1.0]);
        assert_eq!(x, along("add", &[], 1.0, &[1.0, 2.0, -1.0]));
        // With the sign of the code, it is `add` for experts whose last matrix has the opposite sign.
        let x = along("heavy-ball", &[("mu", 0.0), ("gamma", 1.0)], 1.0, &[1.0, 2.0, -1.0]);
        assert_eq!(x, along("add", &[], 1.0, &[-1.0, -2.0, 1.0]));
    }
}
