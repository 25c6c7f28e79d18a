//! Quantile balancing: a bias is set to the value that would have balanced the last batch.
//!
//! Not from a paper known to us; the routing `quantile_balancing` of Megatron-core:
//! <https://github.com/NVIDIA/Megatron-LM>
//!
//! S = top-k(s - b), s = x W                                                (1)
//! g = softmax(s over S), without b                                         (2)
//! a_t = the (k + 1)-th largest of s_t - b: what an expert must exceed to be chosen  (3)
//! b_i = the (T k / E + 1)-th largest of s_ti - a_t over the units t        (4)
//!
//! With the new b, T k / E units would have exceeded the bar of expert i: the problem of each expert is
//! solved exactly, with the others held fixed. There is no step size. b is a state: it is saved, and set
//! in the last pass of a step to the mean over its passes, so that no unit depends on its own batch.
//!
//! Differs from the paper, there being none, and from Megatron-core: T k / E is rounded down instead of
//! required to be an integer.
//!
//! Not to be confused with: `loss-free`, whose bias changes by a fixed step in the same direction.

use burn::{
    module::{Module, RunningState},
    prelude::*,
};
use moe::{Dims, Init, Pass, Plan, Router, config, softmax, top_k};

use crate::kit::{Gate, check, quantile, state};

config! {
    /// The number of experts per unit.
    pub struct QuantileBalancingConfig {
        /// Experts for each unit.
        pub k: usize = 2,
    }
}

/// Top-k with a bias that balances the last batch.
#[derive(Module, Debug)]
pub struct QuantileBalancing {
    gate: Gate,
    /// `[E]`: b.
    bias: RunningState<Tensor<1>>,
    /// `[E + 1]`: the sum of the biases in the step so far, and the number of passes.
    seen: RunningState<Tensor<1>>,
    k: usize,
}

impl Router for QuantileBalancing {
    type Config = QuantileBalancingConfig;
    const NAME: &'static str = "quantile-balancing";
    const ABOUT: &'static str = "top-k with a bias at the quantile that balances loads";
    const PAPER: &'static str = "https://github.com/NVIDIA/Megatron-LM";

    fn check(config: &QuantileBalancingConfig, dims: Dims) -> Result<(), String> {
        check::k(config.k, dims)?;
        if config.k == dims.n_experts {
            return Err(format!(
                "k = {} leaves no expert out, so there is nothing to balance",
                config.k
            ));
        }
        check::gate_learns(config.k, true, dims, "k must be at least 2")
    }

    fn init(config: &QuantileBalancingConfig, dims: Dims, init: &Init) -> Self {
        Self {
            gate: Gate::new(dims, init),
            bias: state::new(init, "bias", [dims.n_experts], 0.0),
            seen: state::new(init, "seen", [dims.n_experts + 1], 0.0),
            k: config.k,
        }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let s = self.gate.forward(pass, units);
        let [g, u, n_experts] = s.dims();
        let still = s.clone().detach().inner();
        let bias = state::get(&self.bias).inner().unsqueeze::<3>();
        let (best, bars) = top_k(still.clone() - bias, self.k + 1);
        let experts = best.narrow(2, 0, self.k); // (1)
        if pass.training() {
            let margins = still - bars.narrow(2, self.k, 1); // (3)
            self.follow(pass, margins.reshape([g * u, n_experts]));
        }
        let weights = softmax(s.gather(2, experts.clone()), 2); // (2)
        Plan::TokenChoice { experts, weights, n_experts }
    }
}

impl QuantileBalancing {
    /// Adds the biases of a pass, from margins `[T, E]`, to those of the step; in the last pass of a step
    /// the bias is set.
    fn follow(&self, pass: &Pass, margins: Tensor<2>) {
        let [t, e] = margins.dims();
        let rank = (t * self.k / e).min(t - 1);
        let bias = quantile::of_columns(margins, rank); // (4)
        let one = Tensor::<1>::ones([1], &bias.device());
        let (kept, moved) = (self.seen.clone(), self.bias.clone());
        pass.follow(&self.seen, Tensor::cat(vec![bias, one], 0), move |found, ends_step| {
            let seen = state::get(&kept) + found;
            if !ends_step {
                return state::set(&kept, seen);
            }
            let mean = seen.clone().narrow(0, 0, e) / seen.clone().narrow(0, e, 1);
            state::set(&moved, mean);
            state::set(&kept, seen.zeros_like());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chosen, close, fill, values};

    fn router(e: usize, k: usize) -> QuantileBalancing {
        let dims = Dims { width: e, n_experts: e, units: 4 };
        let config = QuantileBalancingConfig { k };
        let mut router = QuantileBalancing::init(&config, dims, &Init::new(0, &Device::flex()));
        router.gate = Gate::of(Tensor::eye(e, &Device::flex())); // scores are the units
        router
    }

    #[test]
    fn one_step_balances_a_lopsided_batch() {
        let s = [[0.9, 0.5], [0.8, 0.7], [0.7, 0.2], [0.6, 0.44]];
        let x = || Tensor::<2>::from_floats(s, &Device::flex()).unsqueeze::<3>();
        let router = router(2, 1);
        let (experts, _) = chosen(&router, &mut Pass::train(0, 0, 0.0), x());
        assert_eq!(experts, [0; 4]);
        // Bars are the second scores; margins of expert 0: 0.4, 0.1, 0.5, 0.16, of which the third largest
        // is 0.16. Those of expert 1 are all 0.
        close(&values(router.bias.value_sync()), &[0.16, 0.0]);
        // s - b: (0.74, 0.5), (0.64, 0.7), (0.54, 0.2), (0.44, 0.44): the last unit is on the bar.
        assert_eq!(chosen(&router, &mut Pass::eval(), x()).0[..3], [0, 1, 0]);
    }

    #[test]
    fn loads_become_even() {
        let router = router(4, 2);
        // All units prefer experts 0 and 1.
        let lopsided = Tensor::from_floats([[[2.0, 1.0, 0.0, 0.0]]], &Device::flex());
        let x = || fill(5, [1, 200, 4], 2.0) + lopsided.clone();
        for step in 0..20 {
            chosen(&router, &mut Pass::train(0, step, 0.0), x());
        }
        let (experts, _) = chosen(&router, &mut Pass::eval(), x());
        for expert in 0..4 {
            let load = experts.iter().filter(|e| **e == expert).count();
            assert!(load.abs_diff(100) <= 5, "expert {expert}: {load}");
        }
    }
}
