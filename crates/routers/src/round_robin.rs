//! Round robin: experts take turns. The balance is perfect, and nothing is decided.
//!
//! Not from a paper; torchtitan has it to measure speed without the noise of routing:
//! <https://github.com/pytorch/torchtitan>
//!
//! unit number n visits experts n k, n k + 1, ..., n k + k - 1, modulo E, each with weight 1 / k.
//!
//! Differs from the paper, there being none: units are numbered within their group, so that the experts
//! depend on the position alone.
//!
//! Not to be confused with: `random`, which is balanced on average only.

use burn::{module::Module, prelude::*};
use moe::{Dims, Init, Pass, Plan, Router, config};

use crate::kit::check;

config! {
    /// The number of experts per unit.
    pub struct RoundRobinConfig {
        /// Experts for each unit.
        pub k: usize = 2,
    }
}

/// Experts take turns.
#[derive(Module, Debug)]
pub struct RoundRobin {
    k: usize,
    n_experts: usize,
}

impl Router for RoundRobin {
    type Config = RoundRobinConfig;
    const NAME: &'static str = "round-robin";
    const ABOUT: &'static str = "experts take turns";
    const PAPER: &'static str = "https://github.com/pytorch/torchtitan";
    /// Experts take turns in the order of their indices.
    const EXPERT_PERMUTATION_EQUIVARIANT: bool = false;
    /// The choice depends on the position, not on the unit.
    const UNIT_PERMUTATION_EQUIVARIANT: bool = false;

    fn check(config: &RoundRobinConfig, dims: Dims) -> Result<(), String> {
        check::k(config.k, dims)
    }

    fn init(config: &RoundRobinConfig, dims: Dims, _init: &Init) -> Self {
        Self { k: config.k, n_experts: dims.n_experts }
    }

    fn route(&self, _pass: &mut Pass, units: Tensor<3>) -> Plan {
        let ([g, u, _], k, device) = (units.dims(), self.k, units.device().inner());
        let turns = Tensor::<1, Int>::arange(0..(u * k) as i64, &device);
        let experts = turns.remainder_scalar(self.n_experts as i64).reshape([1, u, k]);
        Plan::TokenChoice {
            experts: experts.repeat_dim(0, g),
            weights: Tensor::full([g, u, k], 1.0 / k as f32, &device),
            n_experts: self.n_experts,
        }
    }

    fn flops_per_unit(&self) -> f64 {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chosen, close};

    #[test]
    fn experts_take_turns() {
        let units = Tensor::<3>::zeros([2, 3, 1], &Device::flex());
        let router = RoundRobin { k: 2, n_experts: 3 };
        let (experts, weights) = chosen(&router, &mut Pass::eval(), units);
        assert_eq!(experts, [[0, 1, 2, 0, 1, 2]; 2].concat());
        close(&weights, &[0.5; 12]);
    }
}
