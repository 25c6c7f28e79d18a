//! Feed-forward experts: two matrices with an activation between them.
//!
//! Vaswani et al. *Attention Is All You Need*. NeurIPS 2017. <https://arxiv.org/abs/1706.03762>
//!
//! FFN(x) = f(x W1 + b1) W2 + b2                (2), there with f = ReLU
//!
//! Differs from the paper: f may be GELU, as in ViT and V-MoE; biases may be left out.

use burn::{
    module::{Module, Param},
    prelude::*,
};
use kernels::slotwise;
use moe::{Dims, Experts, Init, Pass, config};
use serde::{Deserialize, Serialize};

/// The activation between the two matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FfnActivation {
    /// Gaussian error linear unit, exact.
    Gelu,
    /// Gaussian error linear unit by its tanh approximation, as in flax.
    GeluTanh,
    /// Rectified linear unit.
    Relu,
}

/// The initialisation of the matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// The scheme of the whole network, see [`moe::Scheme`].
    Scheme,
    /// Uniform within `1 / sqrt(D H)`, much smaller. PyTorch's Kaiming rule gives this for a stack
    /// `[E, H, D]`, as in FastMoE and MomentumSMoE, because it takes D for the length of a kernel.
    Product,
}

config! {
    /// Sizes and activation of feed-forward experts.
    pub struct FfnConfig {
        /// The hidden width of one expert, H.
        pub hidden: usize = 64,
        /// The activation between the two matrices.
        pub activation: FfnActivation = FfnActivation::Gelu,
        /// Whether there are biases.
        pub bias: bool = true,
        /// The initialisation of the matrices.
        pub start: Start = Start::Scheme,
    }
}

/// A stack of two-matrix networks.
#[derive(Module, Debug)]
pub struct Ffn {
    w1: Param<Tensor<3>>,
    w2: Param<Tensor<3>>,
    bias1: Option<Param<Tensor<3>>>,
    bias2: Option<Param<Tensor<3>>>,
    #[module(skip)]
    activation: FfnActivation,
}

impl Experts for Ffn {
    type Config = FfnConfig;
    const NAME: &'static str = "ffn";
    const ABOUT: &'static str = "two matrices with GELU or ReLU between them";
    const PAPER: &'static str = "https://arxiv.org/abs/1706.03762";

    fn check(config: &FfnConfig, _dims: Dims) -> Result<(), String> {
        if config.hidden == 0 { Err("hidden = 0: must be at least 1".into()) } else { Ok(()) }
    }

    fn init(config: &FfnConfig, dims: Dims, init: &Init) -> Self {
        let (e, d, h) = (dims.n_experts, dims.width, config.hidden);
        let matrix = |name, shape| match config.start {
            Start::Scheme => init.stack(name, shape),
            Start::Product => init.uniform(name, shape, 1.0 / ((d * h) as f64).sqrt()),
        };
        Self {
            w1: matrix("w1", [e, d, h]),
            w2: matrix("w2", [e, h, d]),
            bias1: config.bias.then(|| init.stack_bias("bias1", [e, 1, h])),
            bias2: config.bias.then(|| init.stack_bias("bias2", [e, 1, d])),
            activation: config.activation,
        }
    }

    fn forward(&self, _pass: &mut Pass, slots: Tensor<3>) -> Tensor<3> {
        slotwise(slots, self.matrices()) // (2)
    }

    fn stack(&self) -> Option<kernels::Ffn> {
        Some(self.matrices())
    }

    fn flops_per_row(&self) -> f64 {
        let [_, d, h] = self.w1.lazy_shape().dims();
        (2 * 2 * d * h) as f64
    }
}

impl Ffn {
    fn matrices(&self) -> kernels::Ffn {
        let activation = match self.activation {
            FfnActivation::Gelu => kernels::Activation::Gelu,
            FfnActivation::GeluTanh => kernels::Activation::GeluTanh,
            FfnActivation::Relu => kernels::Activation::Relu,
        };
        kernels::Ffn {
            w1: self.w1.val(),
            gate: None,
            w2: self.w2.val(),
            bias1: self.bias1.as_ref().map(Param::val),
            bias2: self.bias2.as_ref().map(Param::val),
            activation,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ffn(config: FfnConfig) -> Ffn {
        let device = Device::flex();
        let dims = Dims { width: 2, n_experts: 2, units: 2 };
        let mut ffn = Ffn::init(&config, dims, &Init::new(0, &device));
        let w1 = Tensor::from_floats([[[1.0], [1.0]], [[2.0], [-1.0]]], &device);
        let w2 = Tensor::from_floats([[[1.0, 10.0]], [[3.0, 0.0]]], &device);
        (ffn.w1, ffn.w2) = (Param::from_tensor(w1), Param::from_tensor(w2));
        ffn
    }

    #[test]
    fn each_expert_has_its_own_matrices() {
        let config = FfnConfig {
            hidden: 1,
            activation: FfnActivation::Relu,
            bias: false,
            ..FfnConfig::default()
        };
        // Expert 0: (1 + 2) -> (3, 30). Expert 1: relu(2 - 2) = 0; relu(2 + 3) = 5 -> (15, 0).
        let slots = [[[1.0, 2.0], [-1.0, 0.0]], [[1.0, 2.0], [1.0, -3.0]]];
        let slots = Tensor::<3>::from_floats(slots, &Device::flex());
        let out = ffn(config).forward(&mut Pass::eval(), slots).into_data();
        let expected = [3.0, 30.0, 0.0, 0.0, 0.0, 0.0, 15.0, 0.0];
        assert_eq!(out.try_to_vec::<f32>().unwrap(), expected);
    }

    #[test]
    fn biases_are_added_and_gelu_is_exact() {
        let config = FfnConfig { hidden: 1, ..FfnConfig::default() };
        let mut ffn = ffn(config);
        let bias = [[[0.5, 0.0]], [[0.0, 0.0]]];
        ffn.bias2 = Some(Param::from_tensor(Tensor::from_floats(bias, &Device::flex())));
        let slots = Tensor::<3>::from_floats([[[1.0, 0.0]], [[0.0, 0.0]]], &Device::flex());
        let out = ffn.forward(&mut Pass::eval(), slots).into_data().try_to_vec::<f32>().unwrap();
        // gelu(1) = 0.5 (1 + erf(1 / sqrt 2)) = 0.8413447
        assert!((out[0] - 1.3413447).abs() < 1e-6 && (out[1] - 8.413447).abs() < 1e-5, "{out:?}");
    }

    #[test]
    fn the_approximation_is_the_tanh_one() {
        let config = FfnConfig {
            hidden: 1,
            activation: FfnActivation::GeluTanh,
            bias: false,
            ..FfnConfig::default()
        };
        let slots = Tensor::<3>::from_floats([[[1.0, 0.0]], [[0.0, 0.0]]], &Device::flex());
        let out = ffn(config).forward(&mut Pass::eval(), slots).into_data();
        // 0.5 (1 + tanh(sqrt(2 / pi) 1.044715)) = 0.841192
        assert!((out.try_to_vec::<f32>().unwrap()[0] - 0.841192).abs() < 1e-6);
    }

    #[test]
    fn the_small_start_is_within_one_over_the_root_of_the_product() {
        let config = FfnConfig { start: Start::Product, hidden: 25, ..FfnConfig::default() };
        let dims = Dims { width: 4, n_experts: 8, units: 2 };
        let ffn = Ffn::init(&config, dims, &Init::new(0, &Device::flex()));
        for matrix in [ffn.w1, ffn.w2] {
            let most = matrix.val().abs().max().into_scalar::<f32>();
            assert!(most <= 0.1 && most > 0.098, "{most}");
        }
    }

    #[test]
    fn flops_count_both_matrices() {
        assert_eq!(
            Experts::flops_per_row(&ffn(FfnConfig { hidden: 1, ..FfnConfig::default() })),
            8.0
        );
    }
}
