//! Gated experts with clamped inputs of the product, and biases: those of GPT-OSS.
//!
//! OpenAI. *gpt-oss-120b & gpt-oss-20b Model Card*. 2025. <https://arxiv.org/abs/2508.10925>; the equations
//! are those of the published code.
//!
//! g = min(x W + b, l), u = clamp(x V + c, -l, l)          (1)
//! E(x) = (g sigmoid(alpha g) * (u + 1)) W2 + b2           (2)
//!
//! Not to be confused with: `swiglu`, which has neither clamp nor biases, and multiplies by u.

use burn::{
    module::{Module, Param},
    prelude::*,
    tensor::activation::sigmoid,
};
use kernels::matmul;
use moe::{Dims, Experts, Init, Pass, config};

config! {
    /// Sizes and limits of clamped gated experts.
    pub struct ClampedGluConfig {
        /// The hidden width of one expert, H.
        pub hidden: usize = 64,
        /// The slope of the gate's sigmoid.
        pub alpha: f64 = 1.702,
        /// The limit l.
        pub limit: f64 = 7.0,
    }
}

/// A stack of three-matrix networks with biases.
#[derive(Module, Debug)]
pub struct ClampedGlu {
    w: Param<Tensor<3>>,
    v: Param<Tensor<3>>,
    w2: Param<Tensor<3>>,
    bias_w: Param<Tensor<3>>,
    bias_v: Param<Tensor<3>>,
    bias2: Param<Tensor<3>>,
    alpha: f64,
    limit: f64,
}

impl Experts for ClampedGlu {
    type Config = ClampedGluConfig;
    const NAME: &'static str = "clamped-glu";
    const ABOUT: &'static str = "gated network with clamped inputs of the product, and biases";
    const PAPER: &'static str = "https://arxiv.org/abs/2508.10925";

    fn check(config: &ClampedGluConfig, _dims: Dims) -> Result<(), String> {
        let ClampedGluConfig { hidden, alpha, limit } = *config;
        match hidden {
            0 => Err("hidden = 0: must be at least 1".into()),
            _ if !alpha.is_finite() => Err(format!("alpha = {alpha}: must be finite")),
            _ if limit > 0.0 && limit.is_finite() => Ok(()),
            _ => Err(format!("limit = {limit}: must be above 0")),
        }
    }

    fn init(config: &ClampedGluConfig, dims: Dims, init: &Init) -> Self {
        let (e, d, h) = (dims.n_experts, dims.width, config.hidden);
        Self {
            w: init.uniform("w", [e, d, h], 1.0 / (d as f64).sqrt()),
            v: init.uniform("v", [e, d, h], 1.0 / (d as f64).sqrt()),
            w2: init.uniform("w2", [e, h, d], 1.0 / (h as f64).sqrt()),
            bias_w: init.stack_bias("bias_w", [e, 1, h]),
            bias_v: init.stack_bias("bias_v", [e, 1, h]),
            bias2: init.stack_bias("bias2", [e, 1, d]),
            alpha: config.alpha,
            limit: config.limit,
        }
    }

    fn forward(&self, _pass: &mut Pass, slots: Tensor<3>) -> Tensor<3> {
        let gate = matmul(slots.clone(), self.w.val()) + self.bias_w.val();
        let up = matmul(slots, self.v.val()) + self.bias_v.val();
        let (gate, up) = (gate.clamp_max(self.limit), up.clamp(-self.limit, self.limit)); // (1)
        let hidden = gate.clone() * sigmoid(gate * self.alpha) * (up + 1.0);
        matmul(hidden, self.w2.val()) + self.bias2.val() // (2)
    }

    fn flops_per_row(&self) -> f64 {
        let [_, d, h] = self.w.lazy_shape().dims();
        (3 * 2 * d * h) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One number in, one hidden, one out: W = 2, V = 3, W2 = 0.5, biases 1, -1 and 0.25.
    fn run(x: f32, limit: f64) -> f32 {
        let device = Device::flex();
        let at = |value: f32| Param::from_tensor(Tensor::<3>::full([1, 1, 1], value, &device));
        let experts = ClampedGlu {
            w: at(2.0),
            v: at(3.0),
            w2: at(0.5),
            bias_w: at(1.0),
            bias_v: at(-1.0),
            bias2: at(0.25),
            alpha: 1.702,
            limit,
        };
        assert_eq!(Experts::flops_per_row(&experts), 6.0);
        let x = Tensor::<3>::full([1, 1, 1], x, &device);
        experts.forward(&mut Pass::eval(), x).into_scalar::<f32>()
    }

    #[test]
    fn numbers_worked_by_hand() {
        let by_hand =
            |g: f64, u: f64| (g / (1.0 + (-1.702 * g).exp()) * (u + 1.0) * 0.5 + 0.25) as f32;
        // Within the limit; gate and up clamped from above; up clamped from below, where the gate is not.
        for (x, limit, g, u) in
            [(0.5, 7.0, 2.0, 0.5), (2.0, 3.0, 3.0, 3.0), (-3.0, 4.0, -5.0, -4.0)]
        {
            let found = run(x, limit);
            assert!((found - by_hand(g, u)).abs() < 1e-5, "{found}");
        }
    }
}
