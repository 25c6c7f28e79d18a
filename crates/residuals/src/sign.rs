//! The sign of the moment: every channel of every token takes a step of the same length.
//!
//! Bernstein et al. *signSGD*. ICML 2018. <https://arxiv.org/abs/1802.04434> (Signum, for weights).
//!
//! m_t = mu m_{t-1} + f(x_t)                    (1)
//! x_{t+1} = x_t - gamma sign(m_t)              (2)
//!
//! Evidence: our own extension of MomentumSMoE; not found in its paper or code.
//!
//! A sign has the gradient 0, so that experts would learn nothing from it. Here the backward pass treats
//! (2) as x - gamma m (straight through: Bengio et al. 2013, <https://arxiv.org/abs/1308.3432>).

use burn::{module::Module, prelude::*};
use moe::{Init, Pass, ResidualRule, config};

use crate::moment;

config! {
    /// The momentum and the step size.
    pub struct SignConfig {
        /// The decay of the moment, mu.
        pub mu: f64 = 0.7,
        /// The step.
        pub gamma: f64 = 1.0,
    }
}

/// The moment's sign is subtracted.
#[derive(Module, Debug)]
pub struct Sign {
    mu: f64,
    gamma: f64,
}

impl ResidualRule for Sign {
    type Config = SignConfig;
    const NAME: &'static str = "sign";
    const ABOUT: &'static str = "the sign of the momentum from layer to layer";
    const PAPER: &'static str = "https://arxiv.org/abs/1802.04434";

    fn check(config: &SignConfig) -> Result<(), String> {
        moment::share("mu", config.mu)?;
        moment::finite("gamma", config.gamma)
    }

    fn init(config: &SignConfig, _width: usize, _init: &Init) -> Self {
        Self { mu: config.mu, gamma: config.gamma }
    }

    fn join(&self, pass: &mut Pass, x: Tensor<3>, output: Tensor<3>) -> Tensor<3> {
        let m = moment::carry(pass, self.mu, output); // (1)
        let jump = (m.clone().sign() - m.clone()).detach(); // The state itself stays attached.
        x - (m + jump) * self.gamma // (2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{along, close};

    #[test]
    fn steps_have_one_length() {
        // m = 3, 1.5 - 2 = -0.5.
        close(&along("sign", &[("mu", 0.5), ("gamma", 0.25)], 1.0, &[3.0, -2.0]), &[0.75, 1.0]);
    }

    #[test]
    fn outputs_of_both_layers_get_a_gradient() {
        let device = Device::flex().autodiff();
        let f = Tensor::<3>::full([1, 1, 1], 3.0, &device).require_grad();
        let (rule, mut pass) = (Sign { mu: 0.5, gamma: 0.25 }, Pass::eval());
        let x = rule.join(&mut pass, Tensor::zeros([1, 1, 1], &device), f.clone());
        let x = rule.join(&mut pass, x, Tensor::zeros([1, 1, 1], &device));
        // The gradient flows through m of the first layer, and through half of it in the second:
        // -0.25 (1 + 0.5).
        let gradient = f.grad(&x.sum().backward()).unwrap();
        assert_eq!(gradient.into_scalar::<f32>(), -0.375);
    }
}
