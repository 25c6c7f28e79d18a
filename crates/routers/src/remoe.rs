//! ReMoE: a ReLU in the place of top-k, with an adaptive L1 penalty for sparsity.
//!
//! Wang, Zhu, Chen. *ReMoE: Fully Differentiable Mixture-of-Experts with ReLU Routing*. ICLR 2025.
//! <https://arxiv.org/abs/2412.14711>
//!
//! R = ReLU(x W)                                                            (4)
//! y = sum_i R_i E_i(x), over the experts with R_i > 0                      (5)
//! loss = lambda E / (k T^2) sum_i (sum_t R_ti) n_i                         (9), (10)
//! lambda *= 1.2 where sparsity < 1 - k / E, /= 1.2 elsewhere               (8)
//!
//! n_i is the number of units of expert i among T, without gradient; sparsity is the share of zeros. The
//! choice itself is differentiable: no unit is assigned by an index.
//!
//! lambda is a state: it is saved, and updated in the last pass of a step from the sparsity of all its
//! passes. In a fresh router about half of the weights are above 0; it takes some hundred steps until k
//! experts remain.
//!
//! Differs from the paper: every layer has its own lambda; the paper averages the sparsity over the
//! layers.
//!
//! Not to be confused with: `top-p`, whose number of experts follows from a softmax.

use burn::{
    module::{Module, RunningState},
    prelude::*,
    tensor::activation::relu,
};
use moe::{Dims, Init, Pass, Plan, Router, config};

use crate::kit::{Gate, check, null, scores, state};

config! {
    /// The mean number of experts per unit, and the control of sparsity.
    pub struct ReMoeConfig {
        /// Experts for each unit on average, after convergence.
        pub k: usize = 2,
        /// The initial coefficient of the penalty.
        pub lambda: f64 = 1e-8,
        /// The factor by which the coefficient grows or shrinks in a step.
        pub rate: f64 = 1.2,
    }
}

/// Every expert with a positive score.
#[derive(Module, Debug)]
pub struct ReMoe {
    gate: Gate,
    /// `[1]`.
    lambda: RunningState<Tensor<1>>,
    /// `[2]`: the numbers of positive scores and of all scores, in the passes of the step so far.
    seen: RunningState<Tensor<1>>,
    #[module(skip)]
    config: ReMoeConfig,
}

impl Router for ReMoe {
    type Config = ReMoeConfig;
    const NAME: &'static str = "remoe";
    const ABOUT: &'static str =
        "every expert with a positive score, kept sparse by an adaptive L1 loss";
    const PAPER: &'static str = "https://arxiv.org/abs/2412.14711";

    fn check(config: &ReMoeConfig, dims: Dims) -> Result<(), String> {
        check::k(config.k, dims)?;
        check::positive("lambda", config.lambda)?;
        match config.rate > 1.0 && config.rate.is_finite() {
            true => Ok(()),
            false => Err(format!("rate = {}: must be larger than 1", config.rate)),
        }
    }

    fn init(config: &ReMoeConfig, dims: Dims, init: &Init) -> Self {
        Self {
            gate: Gate::new(dims, init),
            lambda: state::new(init, "lambda", [1], config.lambda as f32),
            seen: state::new(init, "seen", [2], 0.0),
            config: config.clone(),
        }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let weights = relu(self.gate.forward(pass, units)); // (4)
        let [g, u, e] = weights.dims();
        if pass.training() {
            let active = weights.clone().greater_scalar(0.0).float().detach();
            let counts = active.clone().sum_dim(0).sum_dim(1);
            let sums = weights.clone().sum_dim(0).sum_dim(1);
            let scale = e as f64 / (self.config.k as f64 * ((g * u) as f64).powi(2));
            let penalty = (sums * counts).sum() * scale; // (9), (10)
            pass.loss("l1", penalty * state::get(&self.lambda));
            self.follow(pass, active);
        }
        let weights = scores::without_best(pass, weights);
        let idle = weights.clone().lower_equal_scalar(0.0);
        let experts = null::every_expert(&weights);
        null::without(idle, experts, weights, e) // (5)
    }
}

impl ReMoe {
    /// Counts the positive scores of a pass; in the last pass of a step lambda is updated.
    fn follow(&self, pass: &Pass, active: Tensor<3>) {
        let all = active.dims().iter().product::<usize>() as f32;
        let positive = active.sum().inner();
        let all = Tensor::<1>::full([1], all, &positive.device());
        let own = self.clone();
        pass.follow(&self.seen, Tensor::cat(vec![positive, all], 0), move |counts, ends_step| {
            own.add(counts, ends_step);
        });
    }

    fn add(&self, counts: Tensor<1>, ends_step: bool) {
        let seen = state::get(&self.seen) + counts;
        if !ends_step {
            return state::set(&self.seen, seen);
        }
        let [_, e] = self.gate.weight.lazy_shape().dims();
        let share = seen.clone().narrow(0, 0, 1) / seen.clone().narrow(0, 1, 1);
        // 1.2 if too many scores are positive, 1 / 1.2 otherwise.
        let dense = share.greater_scalar(self.config.k as f64 / e as f64).float();
        let factor = dense * (self.config.rate - 1.0 / self.config.rate) + 1.0 / self.config.rate;
        state::set(&self.lambda, state::get(&self.lambda) * factor); // (8)
        state::set(&self.seen, seen.zeros_like());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chosen, close, fill, scalar, values};

    fn router(k: usize) -> ReMoe {
        let dims = Dims { width: 4, n_experts: 4, units: 4 };
        let config = ReMoeConfig { k, ..ReMoeConfig::default() };
        let mut router = ReMoe::init(&config, dims, &Init::new(0, &Device::flex()));
        router.gate = Gate::of(Tensor::eye(4, &Device::flex())); // scores are the units
        router
    }

    #[test]
    fn the_published_formula_gives_the_same() {
        // The loss of thu-ml/ReMoE was run on these scores: counts 3, 1, 2, 1.
        let (router, x) = (router(1), fill(350, [1, 4, 4], 2.0));
        let mut pass = Pass::train(0, 0, 0.0);
        let (experts, weights) = chosen(&router, &mut pass, x.clone());
        let count = |e: i32| experts.iter().filter(|x| **x == e).count();
        assert_eq!([count(0), count(1), count(2), count(3), count(4)], [3, 1, 2, 1, 9]);
        close(&weights, &values(relu(x)));
        close(&[scalar(&pass, "l1") * 1e8], &[1.574374]);
        // Sparsity 9/16 < 3/4.
        close(&[values(router.lambda.value_sync())[0] * 1e8], &[1.2]);
    }

    #[test]
    fn lambda_follows_the_sparsity_of_the_whole_step() {
        let (router, x) = (router(2), fill(350, [1, 4, 4], 2.0));
        let part = |index| Pass::train(0, 0, 0.0).micro_batch(index, 2);
        // 7 of 16 are positive, then all 16: 23/32 is more than 2/4.
        chosen(&router, &mut part(0), x.clone());
        close(&[values(router.lambda.value_sync())[0] * 1e8], &[1.0]);
        chosen(&router, &mut part(1), x.ones_like());
        close(&[values(router.lambda.value_sync())[0] * 1e8], &[1.2]);
        // 7 of 16 alone is less than 2/4.
        chosen(&router, &mut Pass::train(0, 1, 0.0), x.clone());
        close(&[values(router.lambda.value_sync())[0] * 1e8], &[1.0]);
        chosen(&router, &mut Pass::eval(), x.ones_like());
        close(&[values(router.lambda.value_sync())[0] * 1e8], &[1.0]);
    }
}
