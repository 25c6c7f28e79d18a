//! Robust momentum: the layer is evaluated at an extrapolated input.
//!
//! Teo, Nguyen. *MomentumSMoE: Integrating Momentum into Sparse Mixture of Experts*. NeurIPS 2024.
//! <https://arxiv.org/abs/2410.14574>
//! Cyrus, Hu, Van Scoy, Lessard. *A Robust Accelerated Optimization Algorithm for Strongly Convex
//! Functions*. ACC 2018. <https://arxiv.org/abs/1710.04753>
//!
//! beta = k (1 - p)^2 (1 + p) / L               (1), the step; L = 1
//! alpha = k p^3 / (k - 1)                      (2), the decay of the moment
//! epsilon = p^3 / ((k - 1) (1 - p)^2 (1 + p))  (3), the length of the look-ahead
//! f_t = f(z_t + epsilon beta m_{t-1})          (4), z = x, or its norm
//! m_t = -f_t + alpha m_{t-1}                   (5)
//! x_{t+1} = x_t + beta m_t                     (6)
//!
//! Evidence: read in the authors' code of V-MoE. Differs from it: in that code the dense blocks look ahead
//! too, here only MoE layers do.

use burn::{module::Module, prelude::*};
use moe::{Init, Pass, ResidualRule, Visit, config};

use crate::moment;

config! {
    /// The constants that determine the three coefficients.
    pub struct RobustConfig {
        /// The target rate of convergence, p: small is fast, large is robust.
        pub rate: f64 = 0.2,
        /// The condition number, k.
        pub condition: f64 = 1.25,
    }
}

/// The largest curvature, L, as in the authors' code.
const CURVATURE: f64 = 1.0;

/// Momentum with a look-ahead.
#[derive(Module, Debug)]
pub struct Robust {
    alpha: f64,
    beta: f64,
    epsilon: f64,
}

impl ResidualRule for Robust {
    type Config = RobustConfig;
    const NAME: &'static str = "robust";
    const ABOUT: &'static str = "robust momentum at an extrapolated input (Robust MomentumSMoE)";
    const PAPER: &'static str = "https://arxiv.org/abs/2410.14574";

    fn check(config: &RobustConfig) -> Result<(), String> {
        if !(config.rate > 0.0 && config.rate < 1.0) {
            return Err(format!("rate = {}: must be above 0 and below 1", config.rate));
        }
        match config.condition > 1.0 && config.condition.is_finite() {
            true => Ok(()),
            false => Err(format!("condition = {}: must be above 1", config.condition)),
        }
    }

    fn init(config: &RobustConfig, _width: usize, _init: &Init) -> Self {
        let (p, k) = (config.rate, config.condition);
        let slack = (1.0 - p).powi(2) * (1.0 + p);
        Self {
            beta: k * slack / CURVATURE,              // (1)
            alpha: k * p.powi(3) / (k - 1.0),         // (2)
            epsilon: p.powi(3) / ((k - 1.0) * slack), // (3)
        }
    }

    fn join(&self, pass: &mut Pass, x: Tensor<3>, output: Tensor<3>) -> Tensor<3> {
        x + moment::carry(pass, self.alpha, -output) * self.beta // (5), (6)
    }

    fn step(&self, pass: &mut Pass, x: Tensor<3>, input: Tensor<3>, layer: Visit) -> Tensor<3> {
        let ahead = moment::mixed(moment::before(pass), self.epsilon * self.beta, input);
        let f = layer(pass, ahead); // (4)
        self.join(pass, x, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, descend};

    #[test]
    fn the_published_constants() {
        let rule = Robust::init(&RobustConfig::default(), 1, &Init::new(0, &Device::flex()));
        assert!((rule.epsilon - 0.041_666_667).abs() < 1e-9);
        assert!((rule.beta - 0.96).abs() < 1e-12 && (rule.alpha - 0.04).abs() < 1e-12);
    }

    #[test]
    fn two_layers_by_hand() {
        // f(z) = z / 2 from 1: f = 0.5, m = -0.5, x = 0.52. Then the layer's input is
        // 0.52 - 0.04 * 0.5 = 0.5:
        // f = 0.25, m = -0.27, x = 0.52 - 0.2592.
        close(&descend("robust", &[], 0.5, 2), &[0.52, 0.2608]);
    }

    #[test]
    fn impossible_rates_are_named() {
        let config = |rate, condition| RobustConfig { rate, condition };
        assert!(Robust::check(&config(1.0, 1.25)).unwrap_err().contains("rate = 1"));
        assert!(Robust::check(&config(0.2, 1.0)).unwrap_err().contains("condition = 1"));
        assert!(Robust::check(&RobustConfig::default()).is_ok());
    }
}
