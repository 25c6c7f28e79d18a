//! DeepSeek-V3 routing: sigmoid scores, chosen with a bias and within the best groups of experts.
//!
//! DeepSeek-AI. *DeepSeek-V3 Technical Report*. 2024. <https://arxiv.org/abs/2412.19437>,
//! section 2.1.2.
//!
//! s  = sigmoid(x W)                                                        (15)
//! S  = top-k(s + b), in the `groups_kept` groups whose best s + b have the largest sum  (16),
//!      the best k / groups_kept of each group, rounded down but at least one
//! g  = scale s_S / sum(s_S)                                                (13), without b, from
//!      the logarithms of s, which do not underflow
//! b_i += gamma sign(mean load - load_i), after each step                   section 2.1.2
//! loss = alpha E sum_i f_i P_i for each sequence, P from s / sum(s)        (17) to (20)
//!
//! b is a state, not a parameter: it is saved, but no gradient changes it. It is updated in the last pass
//! of a step, from the loads of all passes of the step. The model has 256 experts in 8 groups of which 4
//! are kept, k = 8 and scale = 2.5.
//!
//! `faithful = "reference"`: the published code, and the transformers library, take the two best experts
//! of each group for every k. In the model, where k / groups_kept = 2, this is the same.
//!
//! Differs from the paper: the number of groups is a setting here; in the paper groups are the nodes of
//! the machine. By default there are no groups and scale = 1, for few experts on one machine. The loss is
//! multiplied by E / k, so that it is 1 at perfect balance, like all balance losses here.
//!
//! Not to be confused with: `loss-free`, which has only the bias; DeepSeek-V2, which has a softmax, scores
//! a group by its best expert, and has no bias.

use burn::{module::Module, prelude::*, tensor::activation::sigmoid};
use moe::{Dims, Init, Pass, Plan, Router, config};

use crate::kit::{
    Faithful, Gate, balance_bias::BalanceBias, check, expert_groups, losses, scores, shares,
};

config! {
    /// Experts and groups of a unit, and balance.
    pub struct DeepSeekV3Config {
        /// Experts for each unit.
        pub k: usize = 2,
        /// Groups that the experts are divided into.
        pub groups: usize = 1,
        /// Groups that a unit may choose from.
        pub groups_kept: usize = 1,
        /// The sum of a unit's weights.
        pub scale: f64 = 1.0,
        /// The step of the bias, gamma.
        pub bias_step: f64 = 0.001,
        /// Coefficient of the sequence-wise balance loss, alpha.
        pub sequence_balance: f64 = 0.0001,
        /// The score of a group: the paper's or the published code's.
        pub faithful: Faithful = Faithful::Paper,
    }
}

/// Top-k of biased sigmoid scores within the best groups.
#[derive(Module, Debug)]
pub struct DeepSeekV3 {
    gate: Gate,
    bias: BalanceBias,
    #[module(skip)]
    config: DeepSeekV3Config,
}

impl Router for DeepSeekV3 {
    type Config = DeepSeekV3Config;
    const NAME: &'static str = "deepseek-v3";
    const ABOUT: &'static str = "top-k of sigmoid scores with a balancing bias, within groups";
    const PAPER: &'static str = "https://arxiv.org/abs/2412.19437";

    fn check(config: &DeepSeekV3Config, dims: Dims) -> Result<(), String> {
        let DeepSeekV3Config { k, groups, groups_kept, .. } = *config;
        check::k(k, dims)?;
        check::gate_learns(k, true, dims, "k must be at least 2")?;
        check::coefficient("bias_step", config.bias_step)?;
        check::coefficient("sequence_balance", config.sequence_balance)?;
        check::positive("scale", config.scale)?;
        expert_groups::check(k, [groups, groups_kept], dims.n_experts)
    }

    fn init(config: &DeepSeekV3Config, dims: Dims, init: &Init) -> Self {
        let bias = BalanceBias::new(dims.n_experts, &init.at("bias"));
        Self { gate: Gate::new(dims, init), bias, config: config.clone() }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let logits = self.gate.forward(pass, units);
        let n_experts = logits.dims()[2];
        let biased = sigmoid(logits.clone().detach().inner()) + self.bias.value(); // (15)
        let experts = scores::best(pass, self.best_groups(biased), self.config.k); // (16)
        let chosen = logits.clone().gather(2, experts.clone());
        let weights = shares::of_sigmoids(chosen) * self.config.scale; // (13)
        losses::add(pass, "sequence balance", self.config.sequence_balance, || {
            losses::sequence_balance(shares::of_sigmoids(logits), experts.clone()) // (17) to (20)
        });
        self.bias.follow(pass, &experts, self.config.bias_step);
        Plan::TokenChoice { experts, weights, n_experts }
    }
}

impl DeepSeekV3 {
    /// `[G, U, E]`, with minus infinity outside the best groups.
    fn best_groups(&self, biased: Tensor<3>) -> Tensor<3> {
        let DeepSeekV3Config { k, groups, groups_kept, .. } = self.config;
        let best = match self.config.faithful {
            Faithful::Paper => (k / groups_kept).max(1),
            Faithful::Reference => 2,
        };
        expert_groups::within_best(biased, [groups, groups_kept], best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kit::state,
        testing::{chosen, close, fill, scalar, values},
    };

    fn router(config: DeepSeekV3Config) -> DeepSeekV3 {
        let dims = Dims { width: 4, n_experts: 8, units: 3 };
        let mut router = DeepSeekV3::init(&config, dims, &Init::new(0, &Device::flex()));
        // Stored as [out, in] by the published code.
        router.gate = Gate::of(fill(310, [8, 4], 2.0).transpose());
        state::set(&router.bias.bias, fill(311, [8], 1.0));
        router
    }

    fn published() -> DeepSeekV3Config {
        DeepSeekV3Config {
            k: 3,
            groups: 4,
            groups_kept: 2,
            scale: 2.5,
            faithful: Faithful::Reference,
            ..Default::default()
        }
    }

    #[test]
    fn the_published_code_gives_the_same() {
        // The gate of deepseek-ai/DeepSeek-V3's inference code was run on these inputs.
        let (router, x) = (router(published()), fill(200, [1, 3, 4], 2.0));
        let (experts, weights) = chosen(&router, &mut Pass::train(0, 0, 0.0), x);
        assert_eq!(experts, [1, 3, 0, 3, 2, 1, 2, 1, 3]);
        close(&weights[..3], &[1.070582, 0.611568, 0.817850]);
        // Loads 1, 3, 2, 3, 0, 0, 0, 0 and their mean 9/8 change the bias by 0.001 each.
        let bias = values(router.bias.value());
        close(&bias[..4], &[-0.063025, 0.398101, 0.087724, 0.196574]);
    }

    #[test]
    fn the_bias_chooses_and_does_not_weigh() {
        let config = DeepSeekV3Config { k: 1, ..DeepSeekV3Config::default() };
        let router = router(config);
        state::set(
            &router.bias.bias,
            Tensor::from_floats([0.0, 0.0, 9.0, 0.0, 0.0, 0.0, 0.0, 0.0], &Device::flex()),
        );
        let (experts, weights) = chosen(&router, &mut Pass::eval(), fill(200, [1, 3, 4], 2.0));
        assert_eq!((experts, weights), (vec![2; 3], vec![1.0; 3]));
    }

    #[test]
    fn groups_are_compared_by_as_many_experts_as_they_give() {
        // Groups (6, 0), (4, 3), (1, 1), (0, 0) in scores; one of them gives the k experts.
        let biased = || {
            let scores = [[[6.0, 0.0, 4.0, 3.0, 1.0, 1.0, 0.0, 0.0]]];
            Tensor::<3>::from_floats(scores, &Device::flex())
        };
        let kept = |k, faithful| {
            let config = DeepSeekV3Config { k, groups_kept: 1, faithful, ..published() };
            let kept = values(router(config).best_groups(biased()));
            kept.iter().position(|s| s.is_finite())
        };
        assert_eq!(kept(1, Faithful::Paper), Some(0)); // 6 beats 4
        assert_eq!(kept(2, Faithful::Paper), Some(2)); // 7 beats 6
        assert_eq!(kept(1, Faithful::Reference), Some(2));
    }

    #[test]
    fn the_loss_is_alpha_at_balance() {
        let config = DeepSeekV3Config { k: 8, sequence_balance: 0.5, ..Default::default() };
        let mut router = router(config);
        router.gate = Gate::of(Tensor::zeros([4, 8], &Device::flex()));
        let mut pass = Pass::eval();
        chosen(&router, &mut pass, fill(200, [1, 3, 4], 2.0));
        close(&[scalar(&pass, "sequence balance")], &[0.5]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let dims = Dims { width: 4, n_experts: 8, units: 3 };
        let check = |config| DeepSeekV3::check(&config, dims).unwrap_err();
        assert!(
            check(DeepSeekV3Config { groups: 3, ..published() })
                .contains("groups = 3 does not divide")
        );
        assert!(
            check(DeepSeekV3Config { groups_kept: 5, ..published() }).contains("groups_kept = 5")
        );
        assert!(check(DeepSeekV3Config { k: 5, ..published() }).contains("the 4 experts"));
    }
}
