//! Experts with one output of a fixed sign, from the theory of expert pruning.
//!
//! Chowdhury et al. *A Provably Effective Method for Pruning Experts in Fine-tuned Sparse
//! Mixture-of-Experts*. ICML 2024. <https://arxiv.org/abs/2405.16646>, section 4.
//!
//! f_s(x) = a_s sum_r ReLU(<w_r^(s), x>),   a_s = +1 or -1, not trained            (1)
//!
//! The output is the first coordinate of a row; the other coordinates are 0. The signs alternate, +1
//! first.

use burn::{
    module::{Module, Param, RunningState},
    prelude::*,
    tensor::activation::relu,
};
use kernels::matmul;
use moe::{Dims, Experts, Init, Pass, config};

config! {
    /// Neurons of an expert.
    pub struct SignedReluConfig {
        /// The number of hidden units, m.
        pub hidden: usize = 10,
        /// The standard deviation of the initial weights.
        pub std: f64 = 0.02,
    }
}

/// Sums of ReLUs with a fixed sign.
#[derive(Module, Debug)]
pub struct SignedRelu {
    /// `[E, D, m]`.
    w: Param<Tensor<3>>,
    /// `[E, 1, 1]`.
    sign: RunningState<Tensor<3>>,
}

impl Experts for SignedRelu {
    type Config = SignedReluConfig;
    const NAME: &'static str = "signed-relu";
    const ABOUT: &'static str = "a sum of ReLUs with a fixed sign, in the first coordinate";
    const PAPER: &'static str = "https://arxiv.org/abs/2405.16646";

    fn check(config: &SignedReluConfig, _dims: Dims) -> Result<(), String> {
        match config.hidden {
            0 => Err("hidden = 0: must be at least 1".into()),
            _ if config.std.is_finite() && config.std >= 0.0 => Ok(()),
            _ => Err(format!("std = {}: must be 0 or larger", config.std)),
        }
    }

    fn init(config: &SignedReluConfig, dims: Dims, init: &Init) -> Self {
        let e = dims.n_experts;
        let signs: Vec<f32> = (0..e).map(|expert| [1.0, -1.0][expert % 2]).collect();
        let signs = TensorData::new(signs, [e, 1, 1]);
        let signs = Tensor::from_data(signs, &init.device().clone().inner());
        Self {
            w: init.normal("w", [e, dims.width, config.hidden], config.std),
            sign: init.state("sign", signs),
        }
    }

    fn forward(&self, _pass: &mut Pass, slots: Tensor<3>) -> Tensor<3> {
        let ([e, s, d], device) = (slots.dims(), slots.device());
        let sums = relu(matmul(slots, self.w.val())).sum_dim(2); // [E, S, 1]
        let sign = self.sign.value();
        let sign = match (device.is_autodiff(), sign.device().is_autodiff()) {
            (true, false) => Tensor::from_inner(sign),
            _ => sign,
        };
        let first = sums * sign; // (1)
        match d {
            1 => first,
            _ => Tensor::cat(vec![first, Tensor::zeros([e, s, d - 1], &device)], 2),
        }
    }

    fn flops_per_row(&self) -> f64 {
        let [_, d, m] = self.w.lazy_shape().dims();
        (2 * d * m) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_worked_by_hand() {
        let device = Device::flex();
        let dims = Dims { width: 2, n_experts: 2, units: 1 };
        let config = SignedReluConfig { hidden: 2, ..SignedReluConfig::default() };
        let mut experts = SignedRelu::init(&config, dims, &Init::new(0, &device));
        let w = [[[1.0, -1.0], [2.0, 0.5]], [[1.0, 0.0], [0.0, 3.0]]];
        experts.w = Param::from_tensor(Tensor::from_floats(w, &device));
        let slots = Tensor::<3>::from_floats([[[1.0, 1.0]], [[1.0, 2.0]]], &device);
        // Expert 0: relu(3) + relu(-0.5) = 3. Expert 1: -(1 + 6).
        let out = experts.forward(&mut Pass::eval(), slots).into_data();
        assert_eq!(out.try_to_vec::<f32>().unwrap(), [3.0, 0.0, -7.0, 0.0]);
        assert_eq!(Experts::flops_per_row(&experts), 8.0);
    }
}
