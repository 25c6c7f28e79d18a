//! Feed-forward experts of different widths.
//!
//! Jawahar et al. *AutoMoE: Heterogeneous Mixture-of-Experts with Adaptive Computation for Efficient
//! Neural Machine Translation*. ACL Findings 2023. <https://arxiv.org/abs/2210.07535>, section 3.1.
//!
//! E_i(x) = ReLU(x W1_i) W2_i,  W1_i of D x H_i
//!
//! Differs from the paper: no biases; the widths are given instead of searched for.
//!
//! Each expert has its own matrices, so this is slower than a stack of equal experts.

use burn::{
    module::{Module, Param},
    prelude::*,
    tensor::activation::relu,
};
use kernels::matmul;
use moe::{Dims, Experts, Init, Pass, config};

config! {
    /// The hidden widths.
    pub struct MixedWidthConfig {
        /// The hidden widths of the experts, used in turn: if there are fewer than E, they repeat.
        pub hidden: Vec<usize> = vec![32, 64, 96],
    }
}

/// Feed-forward experts of different widths.
#[derive(Module, Debug)]
pub struct MixedWidth {
    /// For each expert `[D, H_i]`.
    w1: Vec<Param<Tensor<2>>>,
    /// For each expert `[H_i, D]`.
    w2: Vec<Param<Tensor<2>>>,
}

impl Experts for MixedWidth {
    type Config = MixedWidthConfig;
    const NAME: &'static str = "mixed-width";
    const ABOUT: &'static str = "feed-forward experts of different widths";
    const PAPER: &'static str = "https://arxiv.org/abs/2210.07535";

    fn check(config: &MixedWidthConfig, dims: Dims) -> Result<(), String> {
        let (widths, e) = (&config.hidden, dims.n_experts);
        match widths.len() {
            0 => Err("hidden = []: at least one width is needed".into()),
            n if n > e => Err(format!("hidden has {n} widths, more than experts = {e}")),
            _ if widths.contains(&0) => {
                Err(format!("hidden = {widths:?}: each must be at least 1"))
            }
            _ => Ok(()),
        }
    }

    fn init(config: &MixedWidthConfig, dims: Dims, init: &Init) -> Self {
        let d = dims.width;
        let widths: Vec<usize> =
            config.hidden.iter().copied().cycle().take(dims.n_experts).collect();
        let matrix = |name: String, d_in: usize, d_out: usize| {
            init.uniform(&name, [d_in, d_out], 1.0 / (d_in as f64).sqrt())
        };
        let each = widths.iter().enumerate();
        Self {
            w1: each.clone().map(|(i, h)| matrix(format!("w1.{i}"), d, *h)).collect(),
            w2: each.map(|(i, h)| matrix(format!("w2.{i}"), *h, d)).collect(),
        }
    }

    fn forward(&self, _pass: &mut Pass, slots: Tensor<3>) -> Tensor<3> {
        let one = |(i, (w1, w2)): (usize, (&Param<Tensor<2>>, &Param<Tensor<2>>))| {
            let x = slots.clone().narrow(0, i, 1).squeeze_dim::<2>(0);
            matmul(relu(matmul(x, w1.val())), w2.val())
        };
        Tensor::stack(self.w1.iter().zip(&self.w2).enumerate().map(one).collect(), 0)
    }

    fn flops_per_row(&self) -> f64 {
        let all = (0..self.w1.len()).map(|expert| Experts::flops_of(self, expert));
        all.sum::<f64>() / self.w1.len() as f64
    }

    fn flops_of(&self, expert: usize) -> f64 {
        2.0 * 2.0 * self.w1[expert].lazy_shape().num_elements() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn experts() -> MixedWidth {
        let dims = Dims { width: 1, n_experts: 3, units: 1 };
        let config = MixedWidthConfig { hidden: vec![1, 2] };
        MixedWidth::init(&config, dims, &Init::new(0, &Device::flex()))
    }

    #[test]
    fn each_expert_has_its_width() {
        let (device, mut experts) = (Device::flex(), experts());
        let of = |value: Tensor<2>| Param::from_tensor(value);
        experts.w1[0] = of(Tensor::from_floats([[2.0]], &device));
        experts.w2[0] = of(Tensor::from_floats([[3.0]], &device));
        experts.w1[1] = of(Tensor::from_floats([[1.0, -1.0]], &device));
        experts.w2[1] = of(Tensor::from_floats([[5.0], [7.0]], &device));
        let slots = Tensor::<3>::from_floats([[[1.0]], [[-2.0]], [[0.0]]], &device);
        let out = experts.forward(&mut Pass::eval(), slots).into_data();
        // relu(2) * 3; relu(-2) * 5 + relu(2) * 7; 0.
        assert_eq!(out.try_to_vec::<f32>().unwrap(), [6.0, 14.0, 0.0]);
    }

    #[test]
    fn widths_repeat_and_wide_experts_cost_more() {
        let flops: Vec<f64> = (0..3).map(|e| Experts::flops_of(&experts(), e)).collect();
        assert_eq!(flops, [4.0, 8.0, 4.0]);
    }
}
