//! Momentum that is reset in every second layer.
//!
//! O'Donoghue, Candès. *Adaptive Restart for Accelerated Gradient Schemes*. 2015.
//! <https://arxiv.org/abs/1204.3982> (for weights; fixed restart is its section 3.1).
//!
//! m_t = gamma f(x_t)                 if t is even, counted from 0   (1a)
//! m_t = mu m_{t-1} + gamma f(x_t)    otherwise                      (1b)
//! x_{t+1} = x_t - m_t                          (2)
//!
//! Evidence: our own extension of MomentumSMoE; that its authors tried it is a vague memory.

use burn::{module::Module, prelude::*};
use moe::{Init, Pass, ResidualRule, config};

use crate::moment;

config! {
    /// The momentum.
    pub struct RestartConfig {
        /// The decay of the moment, mu.
        pub mu: f64 = 0.7,
        /// The step.
        pub gamma: f64 = 1.0,
    }
}

/// The number of MoE layers from one reset to the next. Our choice: the smallest number with any momentum.
const EVERY: usize = 2;

/// The heavy ball, reset in every second layer.
#[derive(Module, Debug)]
pub struct Restart {
    mu: f64,
    gamma: f64,
}

/// The number of MoE layers before this one, t.
struct Layers(usize);

impl ResidualRule for Restart {
    type Config = RestartConfig;
    const NAME: &'static str = "restart";
    const ABOUT: &'static str = "momentum that restarts in every second layer";
    const PAPER: &'static str = "https://arxiv.org/abs/1204.3982";

    fn check(config: &RestartConfig) -> Result<(), String> {
        moment::share("mu", config.mu)?;
        moment::finite("gamma", config.gamma)
    }

    fn init(config: &RestartConfig, _width: usize, _init: &Init) -> Self {
        Self { mu: config.mu, gamma: config.gamma }
    }

    fn join(&self, pass: &mut Pass, x: Tensor<3>, output: Tensor<3>) -> Tensor<3> {
        let t = pass.take().map_or(0, |Layers(t)| t);
        pass.put(Layers(t + 1));
        let mu = if t.is_multiple_of(EVERY) { 0.0 } else { self.mu };
        x - moment::carry(pass, mu, output * self.gamma) // (1), (2)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{along, close};

    #[test]
    fn the_third_layer_begins_anew() {
        let x = along("restart", &[("mu", 0.5)], 0.0, &[1.0, 0.0, 0.0, 0.0]);
        close(&x, &[-1.0, -1.5, -1.5, -1.5]);
    }
}
