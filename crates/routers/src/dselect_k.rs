//! DSelect-k: a choice of k experts that is smooth, by binary codes of the experts.
//!
//! Hazimeh et al. *DSelect-k: Differentiable Selection in the Mixture of Experts with Applications to
//! Multi-Task Learning*. NeurIPS 2021. <https://arxiv.org/abs/2106.03760>
//!
//! S(t) = 0 up to -gamma / 2, 1 from gamma / 2 on, -2 t^3 / gamma^3 + 3 t / (2 gamma) + 1/2 between (2)
//! r(z)_e = product over the bits b of e of S(z_b) if b is 1, 1 - S(z_b) if it is 0          (3)
//! g = sum_i softmax(alpha)_i r(z^i)                                                          (4)
//! z = x Z and alpha = x A for each unit                                                      (10)
//! loss = lambda sum_i H(r(z^i)), and sum_i 1 / sum_e r(z^i)_e if E is no power of 2          (7), (8)
//!
//! The first bit is the most significant. At first a selector r is undecided, and every expert has a share
//! in it; it selects one expert when its bits have become 0 or 1, which the entropy H accelerates. Experts
//! with g = 0 are not visited.
//!
//! Differs from the paper: losses are means over the units.
//!
//! Not to be confused with: `remoe`, which is differentiable by a ReLU and limits k only on average.

use burn::{
    module::{Module, Param},
    prelude::*,
};
use moe::{Dims, Init, Pass, Plan, Router, config, matmul, mean, softmax};

use crate::kit::{check, losses, null};

config! {
    /// Selectors of a unit, and the sharpness of their choice.
    pub struct DSelectKConfig {
        /// The number of selectors: experts for each unit when all selectors are decided.
        pub k: usize = 2,
        /// The width of the smooth step, gamma.
        pub gamma: f64 = 1.0,
        /// Coefficient of the entropy of the selectors, lambda.
        pub entropy: f64 = 0.000001,
    }
}

/// Smooth selectors over binary codes.
#[derive(Module, Debug)]
pub struct DSelectK {
    /// `[D, k * bits]`: Z.
    codes: Param<Tensor<2>>,
    /// `[D, k]`: A.
    mixture: Param<Tensor<2>>,
    n_experts: usize,
    #[module(skip)]
    config: DSelectKConfig,
}

/// The number of bits that distinguish `n_experts`, at least one.
fn bits(n_experts: usize) -> usize {
    (n_experts.next_power_of_two().trailing_zeros() as usize).max(1)
}

impl Router for DSelectK {
    type Config = DSelectKConfig;
    const NAME: &'static str = "dselect-k";
    const ABOUT: &'static str = "smooth selection of k experts by binary codes";
    const PAPER: &'static str = "https://arxiv.org/abs/2106.03760";
    /// The code of an expert consists of the bits of its index.
    const EXPERT_PERMUTATION_EQUIVARIANT: bool = false;

    fn check(config: &DSelectKConfig, dims: Dims) -> Result<(), String> {
        check::k(config.k, dims)?;
        check::positive("gamma", config.gamma)?;
        check::coefficient("entropy", config.entropy)?;
        check::gate_learns(config.k, true, dims, "k must be at least 2")
    }

    fn init(config: &DSelectKConfig, dims: Dims, init: &Init) -> Self {
        let (d, m) = (dims.width, bits(dims.n_experts));
        // Close to 0, where the smooth step has a gradient: z is about gamma / 100.
        let small = config.gamma / 100.0 / (d as f64).sqrt();
        Self {
            codes: init.uniform("codes", [d, config.k * m], small),
            mixture: init.uniform("mixture", [d, config.k], 1.0 / (d as f64).sqrt()),
            n_experts: dims.n_experts,
            config: config.clone(),
        }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let ([g, u, d], e, k) = (units.dims(), self.n_experts, self.config.k);
        let units = units.reshape([g * u, d]);
        let z = matmul(units.clone(), self.codes.val()); // (10)
        let r = self.selectors(z.reshape([g * u, k, bits(e)]));
        let alpha = softmax(matmul(units, self.mixture.val()), 1);
        let gate = (r.clone() * alpha.unsqueeze_dim::<3>(2)).sum_dim(1).reshape([g, u, e]); // (4)
        losses::add(pass, "entropy", self.config.entropy, || {
            -mean((r.clone() * (r.clone() + 1e-6).log()).sum_dim(2).sum_dim(1)) // (7)
        });
        if !e.is_power_of_two() {
            // The lower bound is for selectors that are certain of a code without an expert.
            let reach = mean(r.sum_dim(2).clamp_min(1e-6).recip().sum_dim(1)); // (8)
            pass.loss("reach", reach);
        }
        let experts = null::every_expert(&gate);
        null::without(gate.clone().lower_equal_scalar(0.0), experts, gate, e)
    }
}

impl DSelectK {
    /// `[T, k, bits] -> [T, k, E]`.
    fn selectors(&self, z: Tensor<3>) -> Tensor<3> {
        let ([t, k, m], e) = (z.dims(), self.n_experts);
        let ones = smooth_step(z, self.config.gamma); // (2)
        let mut r = Tensor::<3>::ones([t, k, e], &ones.device());
        for bit in 0..m {
            let s = ones.clone().narrow(2, bit, 1);
            let is_one: Vec<f32> = (0..e).map(|e| ((e >> (m - 1 - bit)) & 1) as f32).collect();
            let is_one = Tensor::<1>::from_floats(&is_one[..], &s.device()).reshape([1, 1, e]);
            // S where the bit is 1, 1 - S where it is 0.
            r = r * (s * (is_one.clone() * 2.0 - 1.0) + (-is_one + 1.0)); // (3)
        }
        r
    }
}

/// Computes (2).
fn smooth_step<const D: usize>(t: Tensor<D>, gamma: f64) -> Tensor<D> {
    let t = t.clamp(-gamma / 2.0, gamma / 2.0);
    t.clone().powi_scalar(3) * (-2.0 / gamma.powi(3)) + t * (1.5 / gamma) + 0.5
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chosen, close, fill, param, values};

    fn router(e: usize) -> DSelectK {
        let dims = Dims { width: 2, n_experts: e, units: 1 };
        DSelectK::init(&DSelectKConfig::default(), dims, &Init::new(0, &Device::flex()))
    }

    #[test]
    fn the_published_code_gives_the_same() {
        // google-research's dselect_k_moe was run on these numbers.
        let t = Tensor::<1>::from_floats([-0.6, -0.25, 0.0, 0.1, 0.5], &Device::flex());
        close(&values(smooth_step(t, 1.0)), &[0.0, 0.15625, 0.5, 0.648, 1.0]);
        let r = router(4).selectors(fill(395, [1, 2, 2], 1.0));
        close(&values(r.clone())[..4], &[0.572218, 0.176687, 0.191855, 0.059240]);
        let alpha = softmax(fill(396, [1, 2, 1], 1.0), 1);
        close(&values(alpha.clone()), &[0.590858, 0.409142]);
        close(&values((r * alpha).sum_dim(1))[..2], &[0.678873, 0.104628]);
    }

    #[test]
    fn decided_selectors_have_one_expert_each() {
        let device = Device::flex();
        let mut router = router(4);
        // x = (1, 0): bits (1, 0) and (0, 1), the experts 2 and 1; mixture 3 : 1.
        let codes = [[9.0, -9.0, -9.0, 9.0], [0.0; 4]];
        router.codes = param(Tensor::from_floats(codes, &device));
        router.mixture = param(Tensor::from_floats([[3_f32.ln(), 0.0], [0.0, 0.0]], &device));
        let x = Tensor::from_floats([[[1.0, 0.0]]], &device);
        let (experts, weights) = chosen(&router, &mut Pass::eval(), x);
        assert_eq!(experts, [4, 1, 2, 4]);
        close(&weights, &[0.0, 0.25, 0.75, 0.0]);
    }

    #[test]
    fn selectors_are_distributions_and_codes_without_expert_cost() {
        let sums = values(router(4).selectors(fill(1, [3, 2, 2], 1.0)).sum_dim(2));
        close(&sums, &[1.0; 6]);
        // With three experts the code 11 has none: undecided selectors reach 3/4, so 2 / (3/4).
        let mut pass = Pass::eval();
        let mut router = router(3);
        router.codes = param(Tensor::zeros([2, 4], &Device::flex()));
        chosen(&router, &mut pass, fill(1, [1, 1, 2], 1.0));
        close(&[crate::testing::scalar(&pass, "reach")], &[8.0 / 3.0]);
        // Selectors that are certain of the code 11 reach no expert; the loss is still finite.
        let mut pass = Pass::eval();
        router.codes = param(Tensor::full([2, 4], 9.0, &Device::flex()));
        chosen(&router, &mut pass, Tensor::ones([1, 1, 2], &Device::flex()));
        assert_eq!(crate::testing::scalar(&pass, "reach"), 2e6);
    }
}
