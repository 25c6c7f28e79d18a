//! Complex momentum: the moment rotates from layer to layer.
//!
//! Lorraine, Acuna, Vicol, Duvenaud. *Complex Momentum for Optimization in Games*. AISTATS 2022.
//! <https://arxiv.org/abs/2102.08431> (for weights).
//!
//! m_t = mu e^(i angle) m_{t-1} + gamma f(x_t)  (1), complex
//! x_{t+1} = x_t - Re m_t                       (2)
//!
//! Evidence: our own extension of MomentumSMoE; its published code imports complex mathematics and
//! does not use them. With an angle of 0 it would be `heavy-ball`.

use std::f64::consts::FRAC_PI_8;

use burn::{module::Module, prelude::*};
use moe::{Init, Pass, ResidualRule, config};

use crate::moment;

config! {
    /// The modulus of the coefficient, and the step.
    pub struct ComplexConfig {
        /// The decay of the moment: the modulus of the complex coefficient.
        pub mu: f64 = 0.7,
        /// The step.
        pub gamma: f64 = 1.0,
    }
}

/// The angle of the coefficient in radians; an eighth of a half turn, as in the paper.
const ANGLE: f64 = FRAC_PI_8;

/// The real part of a complex moment is subtracted.
#[derive(Module, Debug)]
pub struct Complex {
    real: f64,
    imaginary: f64,
    gamma: f64,
}

/// The real and imaginary parts of m, `[B, T, D]` each, after the previous layer.
struct Moment(Tensor<3>, Tensor<3>);

impl ResidualRule for Complex {
    type Config = ComplexConfig;
    const NAME: &'static str = "complex";
    const ABOUT: &'static str = "momentum with a complex coefficient";
    const PAPER: &'static str = "https://arxiv.org/abs/2102.08431";

    fn check(config: &ComplexConfig) -> Result<(), String> {
        moment::share("mu", config.mu)?;
        moment::finite("gamma", config.gamma)
    }

    fn init(config: &ComplexConfig, _width: usize, _init: &Init) -> Self {
        let (sine, cosine) = ANGLE.sin_cos();
        Self { real: config.mu * cosine, imaginary: config.mu * sine, gamma: config.gamma }
    }

    fn join(&self, pass: &mut Pass, x: Tensor<3>, output: Tensor<3>) -> Tensor<3> {
        let f = output * self.gamma;
        let (re, im) = match pass.take() {
            Some(Moment(re, im)) => (
                re.clone() * self.real - im.clone() * self.imaginary + f,
                re * self.imaginary + im * self.real,
            ),
            None => (f.clone(), f.zeros_like()),
        }; // (1)
        pass.put(Moment(re.clone(), im));
        x - re // (2)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{along, close};

    #[test]
    fn three_layers_by_hand() {
        // Re m = 1; cos(pi / 8) / 2 = 0.4619398; cos(pi / 4) / 4 = 0.1767767.
        let x = along("complex", &[("mu", 0.5)], 1.0, &[1.0, 0.0, 0.0]);
        close(&x, &[0.0, -0.461_940, -0.638_716]);
    }

    #[test]
    fn without_a_moment_it_is_the_heavy_ball() {
        let f = [1.0, -2.0, 0.5, 3.0];
        let x = along("complex", &[("mu", 0.0)], 1.0, &f);
        close(&x, &along("heavy-ball", &[("mu", 0.0)], 1.0, &f));
    }
}
