//! Low-rank experts: one feed-forward network for all experts, and a small change to it for each expert.
//!
//! Zadouri et al. *Pushing Mixture of Experts to the Limit: Extremely Parameter Efficient MoE for
//! Instruction Tuning* (MoLORA). ICLR 2024. <https://arxiv.org/abs/2309.05444>
//! Hu et al. *LoRA*. ICLR 2022. <https://arxiv.org/abs/2106.09685>
//!
//! h = GELU(x W1 + x A_i B_i)
//! E_i(x) = h W2 + h C_i D_i
//!
//! B and D start at 0, so that all experts start as the same network.
//!
//! Differs from the papers: the shared matrices are trained too, since there is no pretrained model; the
//! change is not scaled.

use burn::{
    module::{Module, Param},
    prelude::*,
};
use kernels::{gelu, matmul};
use moe::{Dims, Experts, Init, Pass, config};

config! {
    /// Sizes of low-rank experts.
    pub struct LowRankConfig {
        /// The hidden width of the shared network, H.
        pub hidden: usize = 64,
        /// The rank of each expert's change, R.
        pub rank: usize = 4,
    }
}

/// One network, and a low-rank change for each expert.
#[derive(Module, Debug)]
pub struct LowRank {
    /// `[1, D, H]` and `[1, H, D]`.
    w1: Param<Tensor<3>>,
    w2: Param<Tensor<3>>,
    /// `[E, D, R]` and `[E, R, H]`.
    a: Param<Tensor<3>>,
    b: Param<Tensor<3>>,
    /// `[E, H, R]` and `[E, R, D]`.
    c: Param<Tensor<3>>,
    d: Param<Tensor<3>>,
}

impl Experts for LowRank {
    type Config = LowRankConfig;
    const NAME: &'static str = "low-rank";
    const ABOUT: &'static str = "one shared network, with a low-rank change for each expert";
    const PAPER: &'static str = "https://arxiv.org/abs/2309.05444";

    fn check(config: &LowRankConfig, dims: Dims) -> Result<(), String> {
        let LowRankConfig { hidden, rank } = *config;
        let least = hidden.min(dims.width);
        match rank {
            _ if hidden == 0 => Err("hidden = 0: must be at least 1".into()),
            0 => Err("rank = 0: must be at least 1".into()),
            _ if rank > least => Err(format!(
                "rank = {rank} is larger than {least}, the smaller side of the matrices"
            )),
            _ => Ok(()),
        }
    }

    fn init(config: &LowRankConfig, dims: Dims, init: &Init) -> Self {
        let (e, d, h, r) = (dims.n_experts, dims.width, config.hidden, config.rank);
        let (of_d, of_h) = (1.0 / (d as f64).sqrt(), 1.0 / (h as f64).sqrt());
        Self {
            w1: init.uniform("w1", [1, d, h], of_d),
            w2: init.uniform("w2", [1, h, d], of_h),
            a: init.uniform("a", [e, d, r], of_d),
            b: init.constant("b", [e, r, h], 0.0),
            c: init.uniform("c", [e, h, r], of_h),
            d: init.constant("d", [e, r, d], 0.0),
        }
    }

    fn forward(&self, _pass: &mut Pass, slots: Tensor<3>) -> Tensor<3> {
        let [e, s, d] = slots.dims();
        let shared = |x: Tensor<3>, w: &Param<Tensor<3>>| {
            let [_, _, width] = x.dims();
            let [_, _, out] = w.lazy_shape().dims();
            matmul(x.reshape([1, e * s, width]), w.val()).reshape([e, s, out])
        };
        let change = |x: Tensor<3>, down: &Param<Tensor<3>>, up: &Param<Tensor<3>>| {
            matmul(matmul(x, down.val()), up.val())
        };
        let h = gelu(shared(slots.clone(), &self.w1) + change(slots, &self.a, &self.b));
        (shared(h.clone(), &self.w2) + change(h, &self.c, &self.d)).reshape([e, s, d])
    }

    fn flops_per_row(&self) -> f64 {
        let [_, d, h] = self.w1.lazy_shape().dims();
        let [_, _, r] = self.a.lazy_shape().dims();
        (2 * 2 * (d * h + r * (d + h))) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn experts() -> LowRank {
        let dims = Dims { width: 3, n_experts: 2, units: 1 };
        let config = LowRankConfig { hidden: 4, rank: 2 };
        LowRank::init(&config, dims, &Init::new(0, &Device::flex()))
    }

    /// The outputs of both experts on the same row.
    fn outputs(experts: &LowRank) -> Vec<f32> {
        let row = Tensor::<3>::from_floats([[[1.0, -2.0, 0.5]]], &Device::flex());
        let out = experts.forward(&mut Pass::eval(), row.repeat_dim(0, 2));
        out.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn experts_start_alike_and_differ_by_their_change() {
        let mut experts = experts();
        let out = outputs(&experts);
        assert_eq!(out[..3], out[3..]);
        let d = Tensor::<3>::from_floats([[[0.0; 3]; 2], [[1.0; 3]; 2]], &Device::flex());
        experts.d = Param::from_tensor(d);
        let changed = outputs(&experts);
        assert_eq!(changed[..3], out[..3]);
        assert_ne!(changed[3..], out[3..]);
    }

    #[test]
    fn it_is_the_network_with_the_product_added() {
        let (device, mut experts) = (Device::flex(), experts());
        let random = |name: &str, shape| Init::new(1, &device).normal(name, shape, 1.0);
        (experts.b, experts.d) = (random("b", [2, 2, 4]), random("d", [2, 2, 3]));
        let w1 = experts.w1.val() + experts.a.val().matmul(experts.b.val());
        let w2 = experts.w2.val() + experts.c.val().matmul(experts.d.val());
        let row = Tensor::<3>::from_floats([[[1.0, -2.0, 0.5]]], &device).repeat_dim(0, 2);
        let expected = gelu(row.matmul(w1)).matmul(w2).into_data().try_to_vec::<f32>().unwrap();
        let found = outputs(&experts);
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}");
        assert_eq!(Experts::flops_per_row(&experts), (4 * (12 + 2 * 7)) as f64);
    }
}
