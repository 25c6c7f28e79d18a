//! Ling's stochastic routing warm-up: scores start as pure noise and fade into learned ones.
//!
//! Ling team. *Every FLOP Counts: Scaling a 300B Mixture-of-Experts LING LLM without Premium GPUs*.
//! 2025. <https://arxiv.org/abs/2503.05139>, (3).
//!
//! s = x W                                                                  (1)
//! s' = a s + (1 - a) (mu + sigma N(0, 1)),  a = min(i / W, 1)              (3)
//! g = top-k(softmax(s')), divided by its sum                               (4)
//! loss = c E sum_i f_i P_i                                                 (5), of s without noise
//!
//! mu and sigma are the running mean and standard deviation of the scores, i the step and W the
//! length of the warm-up. At first every expert is as likely as every other, at the scale of the
//! scores.
//!
//! mu and sigma are a state: saved, and moved with the last pass of a step by the scores of all its
//! passes. So a unit never sees the scores of its own batch.
//!
//! Differs from the paper, which leaves them open: W is a share of the training; mu and sigma are
//! taken over all units and experts, start at 0 and 1, and move by a tenth in each step.
//!
//! Not to be confused with: `noisy-top-k`, whose noise is added and learned.

use burn::{
    module::{Module, RunningState},
    prelude::*,
    tensor::activation::softmax,
};
use moe::{Dims, Init, Pass, Plan, Router, config, top_k};

use crate::{check, gate::Gate, losses, noise, state};

config! {
    /// How many experts a unit visits, and how long the noise lasts.
    pub struct LingConfig {
        /// Experts for each unit.
        pub k: usize = 2,
        /// The share of the training in which scores fade in, W.
        pub warm_up: f64 = 0.05,
        /// Coefficient of the balance loss, which is 1 at perfect balance.
        pub balance: f64 = 0.015,
    }
}

/// Top-k with scores that fade in.
#[derive(Module, Debug)]
pub struct Ling {
    gate: Gate,
    /// `[2]`: the running means of scores and of their squares.
    moments: RunningState<Tensor<1>>,
    /// `[3]`: the sums of both and how many there were, in the passes of the step so far.
    seen: RunningState<Tensor<1>>,
    #[module(skip)]
    config: LingConfig,
}

impl Router for Ling {
    type Config = LingConfig;
    const NAME: &'static str = "ling";
    const ABOUT: &'static str = "top-k whose scores fade in from noise (stochastic warm-up)";
    const PAPER: &'static str = "https://arxiv.org/abs/2503.05139";

    fn check(config: &LingConfig, dims: Dims) -> Result<(), String> {
        check::k(config.k, dims)?;
        check::share("warm_up", config.warm_up)?;
        check::coefficient("balance", config.balance)
    }

    fn init(config: &LingConfig, dims: Dims, init: &Init) -> Self {
        let moments = Tensor::from_floats([0.0, 1.0], &init.device().clone().inner());
        Self {
            gate: Gate::new(dims, init),
            moments: init.state("moments", moments),
            seen: state::new(init, "seen", [3], 0.0),
            config: config.clone(),
        }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let clean = self.gate.forward(units); // (1)
        let n_experts = clean.dims()[2];
        let share = (pass.progress() / self.config.warm_up).min(1.0);
        let s = if pass.training() && share < 1.0 {
            let draws = noise::normal(pass, clean.dims(), &clean.device().inner());
            let s = fade_in(clean.clone(), draws, state::get(&self.moments), share); // (3)
            self.follow(pass, clean.clone().detach().inner());
            s
        } else {
            clean.clone()
        };
        let (experts, g) = top_k(softmax(s, 2), self.config.k);
        let weights = g.clone() / g.sum_dim(2); // (4)
        losses::add(pass, "balance", self.config.balance, || {
            losses::balance(softmax(clean, 2), experts.clone()) // (5)
        });
        Plan::TokenChoice { experts, weights, n_experts }
    }

    fn flops_per_unit(&self) -> f64 {
        self.gate.flops()
    }
}

impl Ling {
    /// Takes note of the scores of a pass; with the last pass of a step the moments move.
    fn follow(&self, pass: &Pass, s: Tensor<3>) {
        let count = Tensor::<1>::full([1], s.dims().iter().product::<usize>() as f32, &s.device());
        let sums = Tensor::cat(vec![s.clone().sum(), s.square().sum(), count], 0);
        let seen = state::get(&self.seen) + sums;
        if !pass.ends_step() {
            return state::set(&self.seen, seen);
        }
        let means = seen.clone().narrow(0, 0, 2) / seen.clone().narrow(0, 2, 1);
        state::set(&self.moments, state::get(&self.moments) * 0.9 + means * 0.1);
        state::set(&self.seen, seen.zeros_like());
    }
}

/// (3), with a = `share`; scores and draws are `[G, U, E]`, the moments `[2]`.
fn fade_in(s: Tensor<3>, draws: Tensor<3>, moments: Tensor<1>, share: f64) -> Tensor<3> {
    let mean = moments.clone().narrow(0, 0, 1);
    let deviation = (moments.narrow(0, 1, 1) - mean.clone().square()).clamp_min(0.0).sqrt();
    let noise = draws * deviation.unsqueeze::<3>() + mean.unsqueeze::<3>();
    s * share + noise * (1.0 - share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chosen, close, fill, values};

    #[test]
    fn the_formula_in_double_precision_gives_the_same() {
        // Mean and deviation of the scores themselves.
        let (mean, deviation) = (0.248113_f32, 0.419736_f32);
        let moments = [mean, deviation * deviation + mean * mean];
        let moments = Tensor::<1>::from_floats(moments, &Device::flex());
        let s = fill(302, [1, 2, 4], 2.0);
        let s = fade_in(s, fill(303, [1, 2, 4], 2.0), moments, 0.25);
        close(&values(s)[..4], &[0.459788, 0.602440, 0.159046, 0.360380]);
    }

    #[test]
    fn moments_follow_the_scores_of_the_whole_step() {
        let router = Ling::init(
            &LingConfig::default(),
            Dims { width: 1, n_experts: 2, units: 1 },
            &Init::new(0, &Device::flex()),
        );
        let s = |a: f32, b: f32| Tensor::from_floats([[[a, b]]], &Device::flex());
        let part = |index| Pass::train(0, 0, 0.0).micro_batch(index, 2);
        router.follow(&part(0), s(1.0, 2.0));
        close(&values(state::get(&router.moments)), &[0.0, 1.0]);
        // Mean (1 + 2 + 3 + 4) / 4 = 2.5, of squares 30 / 4 = 7.5; a tenth of the way.
        router.follow(&part(1), s(3.0, 4.0));
        close(&values(state::get(&router.moments)), &[0.25, 0.9 + 0.75]);
    }

    #[test]
    fn at_first_all_experts_are_equally_likely_and_later_the_gate_decides() {
        let dims = Dims { width: 1, n_experts: 4, units: 1000 };
        let config = LingConfig { k: 1, ..LingConfig::default() };
        let mut router = Ling::init(&config, dims, &Init::new(0, &Device::flex()));
        router.gate = Gate::of(Tensor::from_floats([[3.0, 1.0, 0.0, 0.0]], &Device::flex()));
        let load = |progress| {
            // Scores and noise at one scale.
            state::set(&router.moments, Tensor::from_floats([1.0, 2.5], &Device::flex()));
            let x = Tensor::ones([1, 1000, 1], &Device::flex());
            let (experts, _) = chosen(&router, &mut Pass::train(0, 0, progress), x);
            experts.iter().filter(|e| **e == 0).count()
        };
        // 250 of 1000; the standard deviation is sqrt(1000 * 3 / 16) = 14.
        assert!(load(0.0).abs_diff(250) < 4 * 14, "{}", load(0.0));
        assert!(load(0.025) > load(0.0) && load(0.025) < 1000);
        assert_eq!(load(0.05), 1000);
    }
}
