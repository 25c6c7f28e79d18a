//! Sharpness-aware: the layer is evaluated a second time at an ascent point.
//!
//! Foret, Kleiner, Mobahi, Neyshabur. *Sharpness-Aware Minimization*. ICLR 2021.
//! <https://arxiv.org/abs/2010.01412> (for weights).
//! Teo, Nguyen. *MomentumSMoE: Integrating Momentum into Sparse Mixture of Experts*. NeurIPS 2024.
//! <https://arxiv.org/abs/2410.14574>
//!
//! f_t = f(z_t + rho f(z_t) / ||f(z_t)||)       (1), z = x, or its norm; the length is each token's own
//! x_{t+1} = x_t - gamma f_t                    (2)
//!
//! Evidence: notes on the paper say that it has such a curve; the formula is our reading of the name. No
//! state is passed from layer to layer.
//!
//! The layer is evaluated twice: its losses, its reports and the routers' states include both visits, and
//! the FLOPs are those of both.

use burn::{module::Module, prelude::*};
use moe::{Init, Pass, ResidualRule, Visit, config};

use crate::moment;

config! {
    /// The step size.
    pub struct SamConfig {
        /// The step.
        pub gamma: f64 = 1.0,
    }
}

/// The distance from the input at which the layer is evaluated again: the default of Foret et al.
const RHO: f64 = 0.05;

/// Descent along the layer's output at a nearby ascent point.
#[derive(Module, Debug)]
pub struct Sam {
    gamma: f64,
}

impl ResidualRule for Sam {
    type Config = SamConfig;
    const NAME: &'static str = "sam";
    const ABOUT: &'static str =
        "sharpness-aware: the layer is evaluated twice, the second time at an ascent point";
    const PAPER: &'static str = "https://arxiv.org/abs/2010.01412";

    fn check(config: &SamConfig) -> Result<(), String> {
        moment::finite("gamma", config.gamma)
    }

    fn init(config: &SamConfig, _width: usize, _init: &Init) -> Self {
        Self { gamma: config.gamma }
    }

    fn join(&self, _pass: &mut Pass, x: Tensor<3>, output: Tensor<3>) -> Tensor<3> {
        x - output * self.gamma // (2)
    }

    fn step(&self, pass: &mut Pass, x: Tensor<3>, input: Tensor<3>, layer: Visit) -> Tensor<3> {
        let f = layer(pass, input.clone());
        // If f is zero, the direction is zero, and its gradient is finite.
        let length = (f.clone().square().sum_dim(2) + 1e-12).sqrt();
        let f = layer(pass, input + f / length * RHO); // (1)
        self.join(pass, x, f)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{along, close, descend};

    #[test]
    fn two_layers_by_hand() {
        // f(z) = z / 2 from 1: at 1.05, f = 0.525, x = 0.475; at 0.525, f = 0.2625, x = 0.2125.
        close(&descend("sam", &[], 0.5, 2), &[0.475, 0.2125]);
    }

    #[test]
    fn of_a_layer_that_ignores_its_input_it_is_add() {
        let f = [1.0, 2.0, 0.0];
        let x = along("sam", &[("gamma", -1.0)], 1.0, &f);
        assert_eq!(x, along("add", &[], 1.0, &f));
    }
}
