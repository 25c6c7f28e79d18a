//! The heavy ball with coefficients that each layer learns.
//!
//! Teo, Nguyen. *MomentumSMoE: Integrating Momentum into Sparse Mixture of Experts*. NeurIPS 2024.
//! <https://arxiv.org/abs/2410.14574>
//!
//! m_t = mu_t m_{t-1} + gamma_t f(x_t)          (1), mu_t and gamma_t are parameters of layer t
//! x_{t+1} = x_t - m_t                          (2)
//!
//! Evidence: notes on the paper say that it has tables of learned coefficients, of both or of gamma alone.
//! It is our choice that they are one number for each layer, start at the fixed values and are not
//! bounded. At the start it is `heavy-ball`.

use burn::{
    module::{Module, Param},
    prelude::*,
};
use moe::{Init, Pass, ResidualRule, config};

use crate::moment;

config! {
    /// Initial values of the coefficients.
    pub struct LearnedConfig {
        /// The initial decay of the moment, mu.
        pub mu: f64 = 0.7,
        /// The initial step.
        pub gamma: f64 = 1.0,
    }
}

/// A heavy ball that learns its coefficients. They have the names of the parameters of norms, to which
/// weight decay is not applied.
#[derive(Module, Debug)]
pub struct Learned {
    /// mu, `[1]`.
    beta: Param<Tensor<1>>,
    /// `[1]`.
    gamma: Param<Tensor<1>>,
}

/// The moment m, `[B, T, D]`, after the previous layer.
struct Moment(Tensor<3>);

impl ResidualRule for Learned {
    type Config = LearnedConfig;
    const NAME: &'static str = "learned";
    const ABOUT: &'static str = "momentum from layer to layer, with learned coefficients";
    const PAPER: &'static str = "https://arxiv.org/abs/2410.14574";

    fn check(config: &LearnedConfig) -> Result<(), String> {
        moment::share("mu", config.mu)?;
        moment::finite("gamma", config.gamma)
    }

    fn init(config: &LearnedConfig, _width: usize, init: &Init) -> Self {
        Self {
            beta: init.constant("beta", [1], config.mu as f32),
            gamma: init.constant("gamma", [1], config.gamma as f32),
        }
    }

    fn join(&self, pass: &mut Pass, x: Tensor<3>, output: Tensor<3>) -> Tensor<3> {
        let f = output * self.gamma.val().unsqueeze::<3>();
        let m = match pass.take() {
            Some(Moment(m)) => m * self.beta.val().unsqueeze::<3>() + f, // (1)
            None => f,
        };
        pass.put(Moment(m.clone()));
        x - m // (2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{along, close};

    #[test]
    fn it_begins_as_the_heavy_ball() {
        let f = [1.0, -2.0, 0.5];
        close(&along("learned", &[], 1.0, &f), &along("heavy-ball", &[], 1.0, &f));
    }

    #[test]
    fn both_coefficients_get_gradients() {
        let device = Device::flex().autodiff();
        let rule = Learned::init(&LearnedConfig::default(), 1, &Init::new(0, &device));
        let (mut pass, one) = (Pass::eval(), || Tensor::<3>::ones([1, 1, 1], &device));
        let x = rule.join(&mut pass, one(), one());
        let grads = rule.join(&mut pass, x, one()).sum().backward();
        // x = 1 - g - (u g + g): the derivative by g is -2 - u, that by u is -g.
        let by = |param: &Param<Tensor<1>>| param.val().grad(&grads).unwrap().into_scalar::<f32>();
        assert!((by(&rule.gamma) + 2.7).abs() < 1e-6);
        assert!((by(&rule.beta) + 1.0).abs() < 1e-6);
    }
}
