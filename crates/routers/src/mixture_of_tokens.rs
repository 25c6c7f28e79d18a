//! Mixture of tokens: each expert processes one mixture of a few neighbouring units.
//!
//! Antoniak et al. *Mixture of Tokens: Continuous MoE through Cross-Example Aggregation*. NeurIPS
//! 2024. <https://arxiv.org/abs/2310.15961>
//!
//! w = softmax of x W over the units of a small set, for each expert        (1)
//! mixture = sum_t w_t x_t                                                  (2)
//! y_t = sum over experts of w_t E(mixture)                                 (3)
//!
//! With sets of E / k units the experts have the same work as in top-k.
//!
//! Differs from the paper: a set is `set` neighbours of one sequence, which is not suitable for decoders;
//! the paper mixes units at the same position of different sequences, which is.
//!
//! Not to be confused with: `soft`, whose slots mix the whole group and whose outputs have weights of
//! their own.

use burn::{module::Module, prelude::*};
use moe::{Dims, Init, Pass, Plan, Router, config, softmax};

use crate::kit::Gate;

config! {
    /// The size of a group of mixed units.
    pub struct MixtureOfTokensConfig {
        /// Units of a set.
        pub set: usize = 4,
    }
}

/// One mixture of a few units for each expert.
#[derive(Module, Debug)]
pub struct MixtureOfTokens {
    gate: Gate,
    set: usize,
}

impl Router for MixtureOfTokens {
    type Config = MixtureOfTokensConfig;
    const NAME: &'static str = "mixture-of-tokens";
    const ABOUT: &'static str = "each expert works on a mixture of a few neighbouring units";
    const PAPER: &'static str = "https://arxiv.org/abs/2310.15961";
    const CAUSAL: bool = false;
    const MIXES_UNITS: bool = true;
    /// The sets depend on the order of the units.
    const UNIT_PERMUTATION_EQUIVARIANT: bool = false;

    fn check(config: &MixtureOfTokensConfig, _dims: Dims) -> Result<(), String> {
        match config.set {
            0 => Err("set = 0: must be at least 1".into()),
            1 => Err("set = 1 gives every unit to every expert with weight 1; use dense".into()),
            _ => Ok(()),
        }
    }

    fn init(config: &MixtureOfTokensConfig, dims: Dims, init: &Init) -> Self {
        Self { gate: Gate::new(dims, init), set: config.set }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let s = self.gate.forward(pass, units);
        let [g, u, e] = s.dims();
        let sets = u.div_ceil(self.set);
        // Slot c of every expert has set c; units of other sets do not take part in its softmax.
        let device = s.device().inner();
        let of_unit = Tensor::<1, Int>::arange(0..u as i64, &device) / self.set as i64;
        let of_slot = Tensor::<1, Int>::arange(0..sets as i64, &device).reshape([1, 1, 1, sets]);
        let shape = [g, u, e, sets];
        let others = of_unit.reshape([1, u, 1, 1]).expand(shape).not_equal(of_slot.expand(shape));
        let s = s.unsqueeze_dim::<4>(3).expand(shape).mask_fill(others, f32::NEG_INFINITY);
        let w = softmax(s, 1); // (1)
        Plan::Soft { dispatch: w.clone(), combine: w } // (2), (3)
    }

    fn flops_per_unit(&self) -> f64 {
        // The scores, and mixing in and out: each unit has a share in one slot of each expert.
        3.0 * self.gate.flops()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, values};

    #[test]
    fn sets_are_mixed_by_themselves() {
        let device = Device::flex();
        let router = MixtureOfTokens { gate: Gate::of(Tensor::ones([1, 1], &device)), set: 2 };
        // Scores ln 1, ln 3 | ln 5: shares 1/4, 3/4 | 1.
        let x = [[[0.0], [3_f32.ln()], [5_f32.ln()]]];
        let plan = router.route(&mut Pass::eval(), Tensor::from_floats(x, &device));
        let Plan::Soft { dispatch, combine } = plan else { panic!("the plan is soft") };
        assert_eq!(dispatch.dims(), [1, 3, 1, 2]);
        close(&values(dispatch), &[0.25, 0.0, 0.75, 0.0, 0.0, 1.0]);
        close(&values(combine), &[0.25, 0.0, 0.75, 0.0, 0.0, 1.0]);
    }
}
