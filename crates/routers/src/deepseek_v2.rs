//! DeepSeek-V2 routing: softmax scores within the best groups of experts.
//!
//! DeepSeek-AI. *DeepSeek-V2: A Strong, Economical, and Efficient Mixture-of-Experts Language Model*. 2024.
//! <https://arxiv.org/abs/2405.04434>, sections 2.2.1 to 2.2.3.
//!
//! s = softmax(x W)                                                         (22)
//! S = top-k(s) in the `groups_kept` groups with the largest best s         section 2.2.2
//! g = scale s_S                                                            (21), not divided by their sum
//! loss = alpha E sum_i f_i P_i for each sequence                           (23) to (25)
//!
//! The model has 160 experts in 8 groups of which 3 are kept, k = 6 and scale = 16; DeepSeek-V2-Lite has
//! one group.
//!
//! Differs from the paper: the number of groups is a setting here; in the paper groups are the devices.
//! The losses of devices and of their communication are left out. The scale is that of the published code,
//! and is 1 by default. The loss is multiplied by E / k, so that it is 1 at perfect balance, like all
//! balance losses here.
//!
//! Not to be confused with: `deepseek-v3`, which has sigmoids and a balancing bias, and scores a group by
//! several experts.

use burn::{module::Module, prelude::*};
use moe::{Dims, Init, Pass, Plan, Router, config, softmax};

use crate::kit::{Gate, check, expert_groups, losses, scores};

config! {
    /// Experts and groups of a unit, and balance.
    pub struct DeepSeekV2Config {
        /// Experts for each unit.
        pub k: usize = 2,
        /// Groups that the experts are divided into.
        pub groups: usize = 1,
        /// Groups that a unit may choose from.
        pub groups_kept: usize = 1,
        /// A factor on the weights of the chosen experts.
        pub scale: f64 = 1.0,
        /// Coefficient of the sequence-wise balance loss, alpha.
        pub sequence_balance: f64 = 0.003,
    }
}

/// Top-k of probabilities within the best groups.
#[derive(Module, Debug)]
pub struct DeepSeekV2 {
    gate: Gate,
    #[module(skip)]
    config: DeepSeekV2Config,
}

impl Router for DeepSeekV2 {
    type Config = DeepSeekV2Config;
    const NAME: &'static str = "deepseek-v2";
    const ABOUT: &'static str = "top-k of probabilities within the best groups of experts";
    const PAPER: &'static str = "https://arxiv.org/abs/2405.04434";

    fn check(config: &DeepSeekV2Config, dims: Dims) -> Result<(), String> {
        let DeepSeekV2Config { k, groups, groups_kept, .. } = *config;
        check::k(k, dims)?;
        check::coefficient("sequence_balance", config.sequence_balance)?;
        check::positive("scale", config.scale)?;
        expert_groups::check(k, [groups, groups_kept], dims.n_experts)
    }

    fn init(config: &DeepSeekV2Config, dims: Dims, init: &Init) -> Self {
        Self { gate: Gate::new(dims, init), config: config.clone() }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let logits = self.gate.forward(pass, units);
        let n_experts = logits.dims()[2];
        // Softmax keeps the order, so groups and experts are chosen by the scores before it.
        let DeepSeekV2Config { k, groups, groups_kept, .. } = self.config;
        let scores = logits.clone().detach().inner();
        let within = expert_groups::within_best(scores, [groups, groups_kept], 1);
        let experts = scores::best(pass, within, k);
        let p = softmax(logits, 2); // (22)
        let weights = p.clone().gather(2, experts.clone()) * self.config.scale; // (21)
        losses::add(pass, "sequence balance", self.config.sequence_balance, || {
            losses::sequence_balance(p, experts.clone()) // (23) to (25)
        });
        Plan::TokenChoice { experts, weights, n_experts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chosen, close, scalar};

    /// Experts with approximate probabilities (1, 0, 4, 3, 5, 0, 2, 1) / 16 for one unit x = 1.
    fn router(config: DeepSeekV2Config) -> DeepSeekV2 {
        let (device, dims) = (Device::flex(), Dims { width: 1, n_experts: 8, units: 1 });
        let p = [1.0_f32, 1e-9, 4.0, 3.0, 5.0, 1e-9, 2.0, 1.0];
        let router = DeepSeekV2::init(&config, dims, &Init::new(0, &device));
        DeepSeekV2 { gate: Gate::of(Tensor::from_floats([p.map(f32::ln)], &device)), ..router }
    }

    fn run(config: DeepSeekV2Config) -> (Vec<i32>, Vec<f32>) {
        let x = Tensor::<3>::ones([1, 1, 1], &Device::flex());
        let (experts, weights) = chosen(&router(config), &mut Pass::eval(), x);
        (experts, weights)
    }

    #[test]
    fn the_best_of_the_groups_with_the_best_experts() {
        let plain = DeepSeekV2Config { k: 3, scale: 2.0, ..DeepSeekV2Config::default() };
        let (experts, weights) = run(plain.clone());
        assert_eq!(experts, [4, 2, 3]);
        close(&weights, &[10.0 / 16.0, 8.0 / 16.0, 6.0 / 16.0]);
        // The best scores of the groups of two are 1, 4, 5, 2.
        let (experts, weights) = run(DeepSeekV2Config { k: 2, groups: 4, groups_kept: 1, ..plain });
        assert_eq!(experts, [4, 5]);
        close(&weights, &[10.0 / 16.0, 0.0]);
        let (experts, _) = run(DeepSeekV2Config { groups: 4, groups_kept: 2, ..plain });
        assert_eq!(experts, [4, 2, 3]);
    }

    #[test]
    fn the_loss_is_alpha_at_balance() {
        let config = DeepSeekV2Config { k: 8, sequence_balance: 0.5, ..Default::default() };
        let mut router = router(config);
        router.gate = Gate::of(Tensor::zeros([1, 8], &Device::flex()));
        let mut pass = Pass::eval();
        chosen(&router, &mut pass, Tensor::ones([1, 3, 1], &Device::flex()));
        close(&[scalar(&pass, "sequence balance")], &[0.5]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let dims = Dims { width: 4, n_experts: 8, units: 3 };
        let of = |k, groups, groups_kept| {
            let config = DeepSeekV2Config { k, groups, groups_kept, ..Default::default() };
            DeepSeekV2::check(&config, dims)
        };
        assert!(of(2, 3, 1).unwrap_err().contains("groups = 3 does not divide"));
        assert!(of(2, 4, 5).unwrap_err().contains("groups_kept = 5"));
        assert!(of(5, 4, 2).unwrap_err().contains("the 4 experts"));
        assert_eq!(of(1, 4, 2), Ok(()));
    }
}
