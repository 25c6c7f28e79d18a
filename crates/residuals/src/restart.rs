//! Momentum that is reset every few layers.
//!
//! O'Donoghue, Candès. *Adaptive Restart for Accelerated Gradient Schemes*. 2015.
//! <https://arxiv.org/abs/1204.3982> (for weights; fixed restart is its section 3.1).
//!
//! m_t = gamma f(x_t)                 if t is a multiple of r, counted from 0   (1a)
//! m_t = mu m_{t-1} + gamma f(x_t)    otherwise                                 (1b)
//! x_{t+1} = x_t - m_t                          (2)
//!
//! Evidence: our own extension of MomentumSMoE; that its authors tried it is a vague memory. With r = 1
//! nothing is remembered.

use burn::{module::Module, prelude::*};
use moe::{Init, Pass, ResidualRule, config};

use crate::moment;

config! {
    /// The momentum, and the interval of restarts.
    pub struct RestartConfig {
        /// The decay of the moment, mu.
        pub mu: f64 = 0.7,
        /// The step.
        pub gamma: f64 = 1.0,
        /// MoE layers from one beginning to the next, r.
        pub every: usize = 2,
    }
}

/// The heavy ball, from rest every few layers.
#[derive(Module, Debug)]
pub struct Restart {
    mu: f64,
    gamma: f64,
    every: usize,
}

/// The number of MoE layers before this one, t.
struct Layers(usize);

impl ResidualRule for Restart {
    type Config = RestartConfig;
    const NAME: &'static str = "restart";
    const ABOUT: &'static str = "momentum that restarts every few layers";
    const PAPER: &'static str = "https://arxiv.org/abs/1204.3982";

    fn check(config: &RestartConfig) -> Result<(), String> {
        if config.every == 0 {
            return Err("every = 0: must be at least 1".into());
        }
        moment::share("mu", config.mu)?;
        moment::finite("gamma", config.gamma)
    }

    fn init(config: &RestartConfig, _width: usize, _init: &Init) -> Self {
        Self { mu: config.mu, gamma: config.gamma, every: config.every }
    }

    fn join(&self, pass: &mut Pass, x: Tensor<3>, output: Tensor<3>) -> Tensor<3> {
        let t = pass.take().map_or(0, |Layers(t)| t);
        pass.put(Layers(t + 1));
        let mu = if t.is_multiple_of(self.every) { 0.0 } else { self.mu };
        x - moment::carry(pass, mu, output * self.gamma) // (1), (2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{along, close};

    #[test]
    fn the_third_layer_begins_anew() {
        let x = along("restart", &[("mu", 0.5)], 0.0, &[1.0, 0.0, 0.0, 0.0]);
        close(&x, &[-1.0, -1.5, -1.5, -1.5]);
    }

    #[test]
    fn every_layer_is_add_and_never_is_the_heavy_ball() {
        let f = [1.0, -2.0, 0.5, 3.0];
        let every = |every| along("restart", &[("every", every), ("gamma", -1.0)], 1.0, &f);
        assert_eq!(every(1.0), along("add", &[], 1.0, &f));
        assert_eq!(every(9.0), along("heavy-ball", &[("gamma", -1.0)], 1.0, &f));
        assert!(Restart::check(&RestartConfig { every: 0, ..RestartConfig::default() }).is_err());
    }
}
