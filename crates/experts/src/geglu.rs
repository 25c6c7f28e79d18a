//! GEGLU experts: a gated feed-forward network of three matrices, without biases.
//!
//! Shazeer. *GLU Variants Improve Transformer*. 2020. <https://arxiv.org/abs/2002.05202>
//!
//! FFN_GEGLU(x) = (GELU(x W) * x V) W2          (6)
//!
//! GELU is the exact function of the paper, or its tanh approximation, as in T5 v1.1.
//!
//! Not to be confused with: `swiglu`, whose gate is a Swish.

use burn::{
    module::{Module, Param},
    prelude::*,
};
use kernels::slotwise;
use moe::{Dims, Experts, Init, Pass, config};

config! {
    /// Sizes of GEGLU experts.
    pub struct GegluConfig {
        /// The hidden width of one expert, H.
        pub hidden: usize = 64,
        /// Whether GELU is computed by its tanh approximation.
        pub tanh: bool = false,
    }
}

/// A stack of three-matrix networks.
#[derive(Module, Debug)]
pub struct Geglu {
    w: Param<Tensor<3>>,
    v: Param<Tensor<3>>,
    w2: Param<Tensor<3>>,
    tanh: bool,
}

impl Experts for Geglu {
    type Config = GegluConfig;
    const NAME: &'static str = "geglu";
    const ABOUT: &'static str = "gated network of three matrices, the gate by GELU";
    const PAPER: &'static str = "https://arxiv.org/abs/2002.05202";

    fn check(config: &GegluConfig, _dims: Dims) -> Result<(), String> {
        if config.hidden == 0 { Err("hidden = 0: must be at least 1".into()) } else { Ok(()) }
    }

    fn init(config: &GegluConfig, dims: Dims, init: &Init) -> Self {
        let (e, d, h) = (dims.n_experts, dims.width, config.hidden);
        Self {
            w: init.uniform("w", [e, d, h], 1.0 / (d as f64).sqrt()),
            v: init.uniform("v", [e, d, h], 1.0 / (d as f64).sqrt()),
            w2: init.uniform("w2", [e, h, d], 1.0 / (h as f64).sqrt()),
            tanh: config.tanh,
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

impl Geglu {
    fn matrices(&self) -> kernels::Ffn {
        let exact = kernels::Activation::Gelu;
        kernels::Ffn {
            w1: self.w.val(),
            gate: Some(self.v.val()),
            w2: self.w2.val(),
            bias1: None,
            bias2: None,
            activation: if self.tanh { kernels::Activation::GeluTanh } else { exact },
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
        // gelu(1) = 0.5 (1 + erf(1 / sqrt 2)) = 0.8413447; 0.841192 by tanh; times 3 times 0.5.
        for (tanh, expected) in [(false, 0.841_344_7 * 1.5), (true, 0.841_192 * 1.5)] {
            let geglu = Geglu { w: at(1.0), v: at(3.0), w2: at(0.5), tanh };
            let x = Tensor::<3>::full([1, 1, 1], 1.0, &device);
            let y = geglu.forward(&mut Pass::eval(), x).into_scalar::<f32>();
            assert!((y - expected).abs() < 1e-6, "{y}");
            assert_eq!(Experts::flops_per_row(&geglu), 6.0);
        }
    }
}
