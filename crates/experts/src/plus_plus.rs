//! The experts of MoE++: feed-forward networks, and some that compute nothing.
//!
//! Jin, Zhu, Yuan, Yan. *MoE++: Accelerating Mixture-of-Experts Methods with Zero-Computation
//! Experts*. ICLR 2025. <https://arxiv.org/abs/2410.07348>
//!
//! FFN(x)   = GELU(x W1) W2
//! const(x) = a_1 x + a_2 v,  a = softmax(x Wc)         (5)
//! copy(x)  = x                                         (4)
//! zero(x)  = 0                                         (3)
//!
//! The experts have this order, with one expert of each kind except the first. The router `moe-plus-plus`
//! takes the last experts as those that compute nothing.
//!
//! Differs from the paper: the feed-forward networks have no biases.

use burn::{
    module::{Module, Param},
    prelude::*,
    tensor::activation::softmax,
};
use kernels::{gelu, matmul};
use moe::{Dims, Experts, Init, Pass, config};

config! {
    /// Sizes of the experts of MoE++.
    pub struct PlusPlusConfig {
        /// The hidden width of one feed-forward expert, H.
        pub hidden: usize = 64,
    }
}

/// Experts without a feed-forward network: (3), (4) and (5), one of each.
const ZERO_COMPUTATION: usize = 3;

/// Feed-forward, constant, copy and zero experts.
#[derive(Module, Debug)]
pub struct PlusPlus {
    /// `[F, D, H]`.
    w1: Param<Tensor<3>>,
    /// `[F, H, D]`.
    w2: Param<Tensor<3>>,
    /// `[1, D, 2]`: Wc.
    mixture: Param<Tensor<3>>,
    /// `[1, 1, D]`: v.
    constant: Param<Tensor<3>>,
}

impl Experts for PlusPlus {
    type Config = PlusPlusConfig;
    const NAME: &'static str = "plus-plus";
    const ABOUT: &'static str =
        "feed-forward networks, and constant, copy and zero experts (MoE++)";
    const PAPER: &'static str = "https://arxiv.org/abs/2410.07348";

    fn check(config: &PlusPlusConfig, dims: Dims) -> Result<(), String> {
        match dims.n_experts {
            _ if config.hidden == 0 => Err("hidden = 0: must be at least 1".into()),
            e if e <= ZERO_COMPUTATION => Err(format!(
                "experts = {e}: must be more than the {ZERO_COMPUTATION} zero-computation experts"
            )),
            _ => Ok(()),
        }
    }

    fn init(config: &PlusPlusConfig, dims: Dims, init: &Init) -> Self {
        let (d, h, f) = (dims.width, config.hidden, dims.n_experts - ZERO_COMPUTATION);
        let bound = 1.0 / (d as f64).sqrt();
        Self {
            w1: init.uniform("w1", [f, d, h], bound),
            w2: init.uniform("w2", [f, h, d], 1.0 / (h as f64).sqrt()),
            mixture: init.uniform("mixture", [1, d, 2], bound),
            constant: init.normal("constant", [1, 1, d], 0.02),
        }
    }

    fn forward(&self, _pass: &mut Pass, slots: Tensor<3>) -> Tensor<3> {
        let [computing, _, _] = self.w1.lazy_shape().dims();
        let of = |first: usize, n: usize| slots.clone().narrow(0, first, n);
        let inner = gelu(matmul(of(0, computing), self.w1.val()));
        let x = of(computing, 1);
        let a = softmax(matmul(x.clone(), self.mixture.val()), 2);
        let share = |i| a.clone().narrow(2, i, 1);
        let constant = x * share(0) + self.constant.val() * share(1); // (5)
        let copy = of(computing + 1, 1); // (4)
        let zero = copy.zeros_like(); // (3)
        Tensor::cat(vec![matmul(inner, self.w2.val()), constant, copy, zero], 0)
    }

    fn flops_per_row(&self) -> f64 {
        let [computing, _, _] = self.w1.lazy_shape().dims();
        let experts = computing + ZERO_COMPUTATION;
        (0..experts).map(|expert| Experts::flops_of(self, expert)).sum::<f64>() / experts as f64
    }

    fn flops_of(&self, expert: usize) -> f64 {
        let [computing, d, h] = self.w1.lazy_shape().dims();
        match expert {
            _ if expert < computing => (2 * 2 * d * h) as f64,
            // Two scores, two products and a sum.
            _ if expert == computing => (2 * 2 * d + 3 * d) as f64,
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_by_hand() {
        let device = Device::flex();
        let dims = Dims { width: 2, n_experts: 4, units: 1 };
        let config = PlusPlusConfig { hidden: 1 };
        let mut experts = PlusPlus::init(&config, dims, &Init::new(0, &device));
        let of = |value: Tensor<3>| Param::from_tensor(value);
        experts.w1 = of(Tensor::from_floats([[[1.0], [1.0]]], &device));
        experts.w2 = of(Tensor::from_floats([[[1.0, -2.0]]], &device));
        // Scores ln 3 and 0: a = (3/4, 1/4).
        experts.mixture = of(Tensor::from_floats([[[3_f32.ln(), 0.0], [0.0, 0.0]]], &device));
        experts.constant = of(Tensor::from_floats([[[4.0, 8.0]]], &device));
        let slots = Tensor::<3>::from_floats([[[1.0, 0.0]]], &device).repeat_dim(0, 4);
        let out = experts.forward(&mut Pass::eval(), slots).into_data();
        let found = out.try_to_vec::<f32>().unwrap();
        // gelu(1) = 0.8413447.
        let expected = [0.8413447, -1.6826894, 1.75, 2.0, 1.0, 0.0, 0.0, 0.0];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    }

    /// Numbers that depend on the seed alone, the same as in the tests of the routers.
    fn fill(seed: u64, n: u64, scale: f64) -> Vec<f32> {
        let mix = |x: u64| {
            let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            x ^ (x >> 31)
        };
        let one = |i: u64| (mix((seed << 32) + i) >> 11) as f64 * 0.5_f64.powi(53) - 0.5;
        (0..n).map(|i| (one(i) * scale) as f32).collect()
    }

    #[test]
    fn the_published_constant_expert_gives_the_same() {
        let device = Device::flex();
        let dims = Dims { width: 4, n_experts: 4, units: 1 };
        let config = PlusPlusConfig { hidden: 1 };
        let mut experts = PlusPlus::init(&config, dims, &Init::new(0, &device));
        let of = |values, shape: [usize; 3]| {
            Tensor::<3>::from_data(TensorData::new(values, shape), &device)
        };
        experts.constant = Param::from_tensor(of(fill(321, 4, 1.0), [1, 1, 4]));
        // The published matrix is [out, in].
        let mixture = of(fill(322, 8, 2.0), [1, 2, 4]).swap_dims(1, 2);
        experts.mixture = Param::from_tensor(mixture);
        let x = of(fill(200, 4, 2.0), [1, 1, 4]).repeat_dim(0, 4);
        let out = experts.forward(&mut Pass::eval(), x).narrow(0, 1, 1).into_data();
        let expected = [0.170399, -0.522127, -0.341364, -0.221935];
        let found = out.iter::<f32>().collect::<Vec<_>>();
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}");
    }

    #[test]
    fn only_feed_forward_experts_cost_much() {
        let dims = Dims { width: 8, n_experts: 4, units: 1 };
        let config = PlusPlusConfig { hidden: 16 };
        let experts = PlusPlus::init(&config, dims, &Init::new(0, &Device::flex()));
        let flops: Vec<f64> = (0..4).map(|e| Experts::flops_of(&experts, e)).collect();
        assert_eq!(flops, [512.0, 56.0, 0.0, 0.0]);
        assert_eq!(Experts::flops_per_row(&experts), 142.0);
    }

    #[test]
    fn someone_has_to_compute() {
        let dims = Dims { width: 8, n_experts: 3, units: 1 };
        let message = PlusPlus::check(&PlusPlusConfig::default(), dims).unwrap_err();
        assert_eq!(message, "experts = 3: must be more than the 3 zero-computation experts");
    }
}
