//! Loss-free balancing: a bias on the scores follows the loads; no loss disturbs the gradient.
//!
//! Wang, Gao, Zhao, Sun, Dai. *Auxiliary-Loss-Free Load Balancing Strategy for Mixture-of-Experts*.
//! 2024. <https://arxiv.org/abs/2408.15664>
//!
//! s  = sigmoid(x W), or softmax(x W)                                       (1)
//! S  = top-k(s + b)                                                        (3)
//! g  = s over S, without b                                                 (3)
//! b_i += u sign(mean load - load_i), after each step                       algorithm 1
//!
//! b is a state, not a parameter: it is saved, but no gradient changes it. It is updated in the last pass
//! of a step, from the loads of all passes of the step. A batch is therefore never routed by a bias that
//! was computed from it, and no unit depends on a later one.
//!
//! Differs from the paper: weights are divided by their sum if `renormalise` is set, as in DeepSeek-V3 and
//! OLMo; the variants without sign and with a multiplicative bias (worse in the paper) are left out.
//!
//! Not to be confused with: `deepseek-v3`, which adds groups, a scale and a sequence-wise loss.

use burn::{module::Module, prelude::*, tensor::activation::sigmoid};
use moe::{Dims, Init, Pass, Plan, Router, config, softmax, top_k};
use serde::{Deserialize, Serialize};

use crate::kit::{Gate, balance_bias::BalanceBias, check, shares};

/// The function from the gate's outputs to scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScoreFunction {
    /// Each expert independently.
    Sigmoid,
    /// In competition.
    Softmax,
}

config! {
    /// The number of experts per unit, and the update rate of the bias.
    pub struct LossFreeConfig {
        /// Experts for each unit.
        pub k: usize = 2,
        /// The function from the gate's outputs to scores.
        pub score: ScoreFunction = ScoreFunction::Sigmoid,
        /// Whether the weights are divided by their sum.
        pub renormalise: bool = false,
        /// The step of the bias, u.
        pub bias_step: f64 = 0.001,
    }
}

/// Top-k of biased scores.
#[derive(Module, Debug)]
pub struct LossFree {
    gate: Gate,
    bias: BalanceBias,
    #[module(skip)]
    config: LossFreeConfig,
}

impl Router for LossFree {
    type Config = LossFreeConfig;
    const NAME: &'static str = "loss-free";
    const ABOUT: &'static str = "top-k with a balancing bias instead of a loss";
    const PAPER: &'static str = "https://arxiv.org/abs/2408.15664";

    fn check(config: &LossFreeConfig, dims: Dims) -> Result<(), String> {
        check::k(config.k, dims)?;
        check::coefficient("bias_step", config.bias_step)?;
        check::gate_learns(config.k, config.renormalise, dims, "set renormalise = false")
    }

    fn init(config: &LossFreeConfig, dims: Dims, init: &Init) -> Self {
        let bias = BalanceBias::new(dims.n_experts, &init.at("bias"));
        Self { gate: Gate::new(dims, init), bias, config: config.clone() }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let logits = self.gate.forward(pass, units);
        let n_experts = logits.dims()[2];
        let s = match self.config.score {
            ScoreFunction::Sigmoid => sigmoid(logits.clone()), // (1)
            ScoreFunction::Softmax => softmax(logits.clone(), 2),
        };
        let biased = s.clone().detach().inner() + self.bias.value();
        let (experts, _) = top_k(biased, self.config.k); // (3)
        let weights = match (self.config.renormalise, self.config.score) {
            (false, _) => s.gather(2, experts.clone()),
            (true, ScoreFunction::Sigmoid) => {
                shares::of_sigmoids(logits.gather(2, experts.clone()))
            }
            (true, ScoreFunction::Softmax) => softmax(logits.gather(2, experts.clone()), 2),
        };
        self.bias.follow(pass, &experts, self.config.bias_step); // algorithm 1
        Plan::TokenChoice { experts, weights, n_experts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chosen, close, values};

    /// Three experts; every unit has the sigmoid scores 3/4, 1/2, 1/4.
    fn router(bias_step: f64) -> LossFree {
        let dims = Dims { width: 1, n_experts: 3, units: 4 };
        let config = LossFreeConfig { k: 1, bias_step, ..LossFreeConfig::default() };
        let mut router = LossFree::init(&config, dims, &Init::new(0, &Device::flex()));
        router.gate =
            Gate::of(Tensor::from_floats([[3_f32.ln(), 0.0, -(3_f32.ln())]], &Device::flex()));
        router
    }

    #[test]
    fn the_bias_moves_the_choice_and_not_the_weight() {
        let (router, x) = (router(0.2), Tensor::<3>::ones([1, 4, 1], &Device::flex()));
        let (experts, weights) = chosen(&router, &mut Pass::train(0, 0, 0.0), x.clone());
        assert_eq!(experts, [0; 4]);
        close(&weights, &[0.75; 4]);
        // Loads 4, 0, 0: b = (-0.2, 0.2, 0.2), so s + b = (0.55, 0.7, 0.45).
        close(&values(router.bias.value()), &[-0.2, 0.2, 0.2]);
        let (experts, weights) = chosen(&router, &mut Pass::eval(), x);
        assert_eq!(experts, [1; 4]);
        close(&weights, &[0.5; 4]);
    }

    #[test]
    fn loads_become_even_in_time() {
        let (router, x) = (router(0.01), Tensor::<3>::ones([1, 4, 1], &Device::flex()));
        let mut loads = [0; 3];
        for step in 0..300 {
            let (experts, _) = chosen(&router, &mut Pass::train(0, step, 0.0), x.clone());
            if step >= 150 {
                loads[experts[0] as usize] += 1;
            }
        }
        assert!(loads.iter().all(|load: &i32| (load - 50).abs() <= 5), "{loads:?}");
    }
}
