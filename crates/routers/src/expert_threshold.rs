//! Expert threshold: each expert takes every unit above a threshold that is learned from past batches.
//!
//! Sun et al. *Expert Threshold Routing for Autoregressive Language Modeling with Dynamic Computation
//! Allocation and Load Balancing*. 2026. <https://arxiv.org/abs/2603.11535>
//!
//! s = sigmoid(x W)                                                         (1)
//! expert i takes a unit iff s_i > c_i                                      (2)
//! y = sum of s_i E_i(x) over those that take it                            (3)
//! c_i = running mean of the (1 - k / E) quantile of s_i over a batch       (4)
//!
//! A causal form of expert choice: the threshold comes from earlier batches, so no unit depends on
//! another. Loads are equal on average, without a loss and without a limit; a unit may visit any number of
//! experts.
//!
//! c is a state: it is saved, and updated in the last pass of a step, from the mean of the quantiles of
//! its passes. During the first steps the running mean is the plain mean.
//!
//! Differs from the paper: written from its abstract and public discussions of it, not from its text. The
//! sigmoid weights and the start of the mean are our choice.
//!
//! Not to be confused with: `expert-choice`, whose threshold comes from the batch itself; `loss-free`,
//! which updates a bias in steps of constant size and has a fixed k.

use burn::{
    module::{Module, RunningState},
    prelude::*,
    tensor::activation::sigmoid,
};
use moe::{Dims, Init, Pass, Plan, Router, config};

use crate::kit::{Gate, check, null, quantile, state};

config! {
    /// The mean number of experts per unit.
    pub struct ExpertThresholdConfig {
        /// Experts for each unit on average.
        pub k: usize = 2,
    }
}

/// The decay of the running mean of thresholds, per step (4). Our choice.
const DECAY: f64 = 0.99;

/// Every unit above an expert's threshold.
#[derive(Module, Debug)]
pub struct ExpertThreshold {
    gate: Gate,
    /// `[E]`: c.
    threshold: RunningState<Tensor<1>>,
    /// `[E + 1]`: the sum of the quantiles in the step so far, and the number of passes.
    seen: RunningState<Tensor<1>>,
    /// `[1]`: the number of steps so far.
    steps: RunningState<Tensor<1>>,
    #[module(skip)]
    config: ExpertThresholdConfig,
}

impl Router for ExpertThreshold {
    type Config = ExpertThresholdConfig;
    const NAME: &'static str = "expert-threshold";
    const ABOUT: &'static str =
        "each expert takes every unit above a threshold learned from past batches";
    const PAPER: &'static str = "https://arxiv.org/abs/2603.11535";

    fn check(config: &ExpertThresholdConfig, dims: Dims) -> Result<(), String> {
        check::k(config.k, dims)
    }

    fn init(config: &ExpertThresholdConfig, dims: Dims, init: &Init) -> Self {
        Self {
            gate: Gate::new(dims, init),
            threshold: state::new(init, "threshold", [dims.n_experts], 0.5),
            seen: state::new(init, "seen", [dims.n_experts + 1], 0.0),
            steps: state::new(init, "steps", [1], 0.0),
            config: config.clone(),
        }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let s = sigmoid(self.gate.forward(pass, units)); // (1)
        let e = s.dims()[2];
        let still = s.clone().detach().inner();
        let threshold = state::get(&self.threshold).inner().unsqueeze::<3>();
        let below = still.clone().lower_equal(threshold.expand(s.dims())); // (2)
        if pass.training() {
            self.follow(pass, still);
        }
        let experts = null::every_expert(&s);
        null::without(below, experts, s, e) // (3)
    }
}

impl ExpertThreshold {
    /// Adds the statistics of a pass to those of the step; in the last pass of a step the thresholds are
    /// updated.
    fn follow(&self, pass: &Pass, s: Tensor<3>) {
        let [g, u, e] = s.dims();
        let share = self.config.k as f64 / e as f64;
        let quantiles = quantile::upper(s.reshape([g * u, e]), share);
        let one = Tensor::<1>::ones([1], &quantiles.device());
        let own = self.clone();
        pass.follow(&self.seen, Tensor::cat(vec![quantiles, one], 0), move |found, ends_step| {
            own.add(found, ends_step);
        });
    }

    fn add(&self, found: Tensor<1>, ends_step: bool) {
        let [e] = state::get(&self.threshold).dims();
        let seen = state::get(&self.seen) + found;
        if !ends_step {
            return state::set(&self.seen, seen);
        }
        let mean = seen.clone().narrow(0, 0, e) / seen.clone().narrow(0, e, 1);
        let steps = state::get(&self.steps);
        let keep = (steps.clone() / (steps.clone() + 1.0)).clamp_max(DECAY);
        let moved = state::get(&self.threshold) * keep.clone() + mean * (-keep + 1.0); // (4)
        state::set(&self.threshold, moved);
        state::set(&self.seen, seen.zeros_like());
        state::set(&self.steps, steps + 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chosen, close, values};

    /// Two experts, whose scores are the sigmoids of the units.
    fn router() -> ExpertThreshold {
        let config = ExpertThresholdConfig { k: 1 };
        let dims = Dims { width: 2, n_experts: 2, units: 4 };
        let mut router = ExpertThreshold::init(&config, dims, &Init::new(0, &Device::flex()));
        router.gate = Gate::of(Tensor::eye(2, &Device::flex()));
        router
    }

    /// Units with given sigmoid scores.
    fn units(scores: [[f32; 2]; 4]) -> Tensor<3> {
        let logits = scores.map(|row| row.map(|s| (s / (1.0 - s)).ln()));
        Tensor::<2>::from_floats(logits, &Device::flex()).unsqueeze()
    }

    #[test]
    fn the_threshold_is_the_quantile_of_the_batch_before() {
        let router = router();
        // Half of the units go to each expert: the thresholds are between 0.6 and 0.4, and between 0.3 and
        // 0.1.
        let first = units([[0.9, 0.1], [0.6, 0.05], [0.4, 0.3], [0.2, 0.35]]);
        let (experts, weights) = chosen(&router, &mut Pass::train(0, 0, 0.0), first.clone());
        assert_eq!(experts, [0, 2, 0, 2, 2, 2, 2, 2]); // above 0.5
        close(&weights[..3], &[0.9, 0.0, 0.6]);
        close(&values(router.threshold.value_sync()), &[0.5, 0.2]);
        let (experts, _) = chosen(&router, &mut Pass::eval(), first);
        assert_eq!(experts, [0, 2, 0, 2, 2, 1, 2, 1]);
        // In the second step the old value has the share 1/2: (0.5 + 0.8) / 2 and (0.2 + 0.8) / 2.
        let second = units([[0.9, 0.9], [0.9, 0.9], [0.7, 0.7], [0.7, 0.7]]);
        chosen(&router, &mut Pass::train(0, 1, 0.0), second);
        close(&values(router.threshold.value_sync()), &[0.65, 0.5]);
    }

    #[test]
    fn accumulation_is_one_step() {
        let router = router();
        let part = |index| Pass::train(0, 0, 0.0).micro_batch(index, 2);
        chosen(&router, &mut part(0), units([[0.8, 0.8], [0.8, 0.8], [0.6, 0.6], [0.6, 0.6]]));
        close(&values(router.threshold.value_sync()), &[0.5, 0.5]);
        chosen(&router, &mut part(1), units([[0.4, 0.4], [0.4, 0.4], [0.2, 0.2], [0.2, 0.2]]));
        close(&values(router.threshold.value_sync()), &[0.5, 0.5]); // of 0.7 and 0.3
        chosen(
            &router,
            &mut Pass::train(0, 1, 0.0),
            units([[0.8; 2], [0.8; 2], [0.6; 2], [0.6; 2]]),
        );
        close(&values(router.threshold.value_sync()), &[0.6, 0.6]); // of 0.5 and 0.7
    }

    #[test]
    fn after_many_steps_a_step_counts_for_a_hundredth() {
        let router = router();
        state::set(&router.steps, Tensor::<1>::from_floats([1000.0], &Device::flex()));
        chosen(
            &router,
            &mut Pass::train(0, 1000, 0.0),
            units([[0.8; 2], [0.8; 2], [0.6; 2], [0.6; 2]]),
        );
        close(&values(router.threshold.value_sync()), &[0.502, 0.502]); // 0.99 of 0.5, and 0.7
    }
}
