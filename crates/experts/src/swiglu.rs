//! SwiGLU experts: a gated feed-forward network of three matrices, without biases.
//!
//! Shazeer. *GLU Variants Improve Transformer*. 2020. <https://arxiv.org/abs/2002.05202>
//!
//! FFN_SwiGLU(x) = (Swish_1(x W) * x V) W2      (6)
//!
//! Not to be confused with: GEGLU, whose gate is a GELU.

use burn::{
    module::{Module, Param},
    prelude::*,
};
use kernels::slotwise;
use moe::{Dims, Experts, Init, Pass, config};

config! {
    /// Sizes of SwiGLU experts.
    pub struct SwiGluConfig {
        /// The hidden width of one expert, H.
        pub hidden: usize = 64,
    }
}

/// A stack of three-matrix networks.
#[derive(Module, Debug)]
pub struct SwiGlu {
    w: Param<Tensor<3>>,
    v: Param<Tensor<3>>,
    w2: Param<Tensor<3>>,
}

impl Experts for SwiGlu {
    type Config = SwiGluConfig;
    const NAME: &'static str = "swiglu";
    const ABOUT: &'static str = "gated network of three matrices";
    const PAPER: &'static str = "https://arxiv.org/abs/2002.05202";

    fn check(config: &SwiGluConfig, _dims: Dims) -> Result<(), String> {
        if config.hidden == 0 { Err("hidden = 0: must be at least 1".into()) } else { Ok(()) }
    }

    fn init(config: &SwiGluConfig, dims: Dims, init: &Init) -> Self {
        let (e, d, h) = (dims.n_experts, dims.width, config.hidden);
        Self {
            w: init.uniform("w", [e, d, h], 1.0 / (d as f64).sqrt()),
            v: init.uniform("v", [e, d, h], 1.0 / (d as f64).sqrt()),
            w2: init.uniform("w2", [e, h, d], 1.0 / (h as f64).sqrt()),
        }
    }

    fn forward(&self, _pass: &mut Pass, slots: Tensor<3>) -> Tensor<3> {
        slotwise(slots, self.matrices()) // (6)
    }

    fn stack(&self) -> Option<kernels::Ffn> {
        Some(self.matrices())
    }

    fn flops_per_row(&self) -> f64 {
        let [_, d, h] = self.w.lazy_shape().dims();
        (3 * 2 * d * h) as f64
    }
}

impl SwiGlu {
    fn matrices(&self) -> kernels::Ffn {
        kernels::Ffn {
            w1: self.w.val(),
            gate: Some(self.v.val()),
            w2: self.w2.val(),
            bias1: None,
            bias2: None,
            activation: kernels::Activation::Silu,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_worked_by_hand() {
        let device = Device::flex();
        let at = |value: f32| Param::from_tensor(Tensor::<3>::full([1, 1, 1], value, &device));
        let swiglu = SwiGlu { w: at(2.0), v: at(3.0), w2: at(0.5) };
        let x = Tensor::<3>::full([1, 1, 1], 1.0, &device);
        let y = swiglu.forward(&mut Pass::eval(), x).into_scalar::<f32>();
        // silu(2) = 2 / (1 + e^-2) = 1.7615942; times 3 times 0.5 = 2.6423913
        assert!((y - 2.6423913).abs() < 1e-6, "{y}");
        assert_eq!(Experts::flops_per_row(&swiglu), 6.0);
    }
}
