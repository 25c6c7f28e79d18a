//! Random routing: each unit goes to k experts drawn at random. The baseline that a router must beat.
//!
//! Zuo et al. *Taming Sparsely Activated Transformer with Stochastic Experts*. ICLR 2022.
//! <https://arxiv.org/abs/2110.04260>
//!
//! y = (1 / k) sum_{i in S} E_i(x),  S a random set of k experts
//!
//! Differs from the paper: every unit draws its own set; the paper draws one for the batch and makes the
//! experts agree by a consistency loss. In evaluation the draw is always the same, and depends only on the
//! unit's position.
//!
//! Not to be confused with: a gate of frozen random weights, which sends equal units to equal
//! experts.

use burn::{module::Module, prelude::*};
use moe::{Dims, Init, Pass, Plan, Router, config, top_k};

use crate::kit::{check, noise};

config! {
    /// The number of experts per unit.
    pub struct RandomConfig {
        /// Experts for each unit.
        pub k: usize = 2,
    }
}

/// Each unit goes to k experts drawn at random.
#[derive(Module, Debug)]
pub struct Random {
    k: usize,
    n_experts: usize,
}

impl Router for Random {
    type Config = RandomConfig;
    const NAME: &'static str = "random";
    const ABOUT: &'static str = "each unit goes to k experts drawn at random";
    const PAPER: &'static str = "https://arxiv.org/abs/2110.04260";
    /// Experts are drawn by their index.
    const EXPERT_PERMUTATION_EQUIVARIANT: bool = false;
    /// The draw depends on the position, not on the unit.
    const UNIT_PERMUTATION_EQUIVARIANT: bool = false;

    fn check(config: &RandomConfig, dims: Dims) -> Result<(), String> {
        check::k(config.k, dims)
    }

    fn init(config: &RandomConfig, dims: Dims, _init: &Init) -> Self {
        Self { k: config.k, n_experts: dims.n_experts }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let ([g, u, _], device) = (units.dims(), units.device().inner());
        let lots = noise::uniform(pass, [g, u, self.n_experts], (0.0, 1.0), &device);
        let (experts, _) = top_k(lots, self.k);
        let weights = Tensor::full([g, u, self.k], 1.0 / self.k as f32, &device);
        Plan::TokenChoice { experts, weights, n_experts: self.n_experts }
    }

    fn flops_per_unit(&self) -> f64 {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(pass: &mut Pass) -> Vec<i32> {
        let units = Tensor::<3>::zeros([2, 1000, 1], &Device::flex());
        let Plan::TokenChoice { experts, weights, .. } =
            (Random { k: 2, n_experts: 4 }).route(pass, units)
        else {
            panic!("units choose")
        };
        assert_eq!(weights.max().into_scalar::<f32>(), 0.5);
        experts.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn every_expert_is_as_likely_and_none_is_drawn_twice() {
        let chosen = route(&mut Pass::train(0, 0, 0.0));
        assert!(chosen.chunks(2).all(|pair| pair[0] != pair[1]));
        // 2000 draws of 2 out of 4: 1000 for each; the standard deviation is sqrt(2000 / 4) = 22.
        for expert in 0..4 {
            let load = chosen.iter().filter(|e| **e == expert).count();
            assert!(load.abs_diff(1000) < 4 * 22, "{load}");
        }
    }

    #[test]
    fn training_draws_anew_and_evaluation_does_not() {
        let at = |step| route(&mut Pass::train(0, step, 0.0));
        assert_ne!(at(0), at(1));
        assert_eq!(at(1), at(1));
        assert_eq!(route(&mut Pass::eval()), route(&mut Pass::eval()));
    }
}
