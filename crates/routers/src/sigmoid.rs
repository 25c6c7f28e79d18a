//! Sigmoid routing: experts do not compete in a softmax; each has a score between 0 and 1.
//!
//! Csordas, Irie, Schmidhuber. *Approximating Two-Layer Feedforward Networks for Efficient
//! Transformers* (sigma-MoE). EMNLP Findings 2023. <https://arxiv.org/abs/2310.10837>, section 5.
//!
//! s = sigmoid(x W)                             (1)
//! y = sum_{i in top-k(s)} s_i E_i(x)           (2)
//! loss = gamma sum_i P_i ln P_i                (3), P the mean of softmax(x W) over all units
//!
//! The loss is -gamma ln E at perfect balance and 0 at collapse.
//!
//! Differs from the paper: no expert dropout. `renormalise` divides the weights by their sum, as in LibMoE
//! and in DeepSeek's routers. LibMoE has a balance loss of P in the place of (3).
//!
//! `compete` is the Sigmoid-R of LibMoE's first version: p = softmax(s), and g is p divided by its sum
//! over the chosen experts. Since s is between 0 and 1, the weights are nearly equal. Its gate has a
//! `bias`. Its balance loss and z-loss use p and s, those of the later sigma-MoE softmax(x W) and x W.
//!
//! Not to be confused with: `deepseek-v3`, which is renormalised, scaled, and chooses with a bias.

use burn::{module::Module, prelude::*, tensor::activation::sigmoid};
use moe::{Dims, Init, Pass, Plan, Router, config, softmax};

use crate::kit::{Balance, BalanceLoss, Gate, check, losses, scores, shares};

config! {
    /// The number of experts per unit, and load balancing.
    pub struct SigmoidConfig {
        /// Experts for each unit.
        pub k: usize = 2,
        /// Whether the weights are divided by their sum.
        pub renormalise: bool = false,
        /// Whether a softmax follows the sigmoid, for weights that sum to 1.
        pub compete: bool = false,
        /// Whether the gate has a bias, which is 0 at first.
        pub bias: bool = false,
        /// Coefficient of the entropy loss, gamma.
        pub entropy: f64 = 0.001,
        /// Coefficient of the balance loss.
        pub balance: f64 = 0.0,
        /// The balance loss.
        pub balance_of: Balance = Balance::Choices,
        /// Coefficient of the router z-loss.
        pub z: f64 = 0.0,
    }
}

/// Top-k of independent scores.
#[derive(Module, Debug)]
pub struct Sigmoid {
    gate: Gate,
    balance: BalanceLoss,
    #[module(skip)]
    config: SigmoidConfig,
}

impl Router for Sigmoid {
    type Config = SigmoidConfig;
    const NAME: &'static str = "sigmoid";
    const ABOUT: &'static str = "top-k of sigmoid scores, without competition (sigma-MoE)";
    const PAPER: &'static str = "https://arxiv.org/abs/2310.10837";

    fn check(config: &SigmoidConfig, dims: Dims) -> Result<(), String> {
        check::k(config.k, dims)?;
        let constant = config.renormalise || config.compete;
        let instead = "set renormalise and compete to false, or k to at least 2";
        check::gate_learns(config.k, constant, dims, instead)?;
        check::coefficient("entropy", config.entropy)?;
        check::coefficient("balance", config.balance)?;
        check::coefficient("z", config.z)
    }

    fn init(config: &SigmoidConfig, dims: Dims, init: &Init) -> Self {
        Self {
            gate: Gate::new(dims, init).with_bias(config.bias, dims, init),
            balance: BalanceLoss::new(config.balance_of, dims, init),
            config: config.clone(),
        }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let scores = self.gate.forward(pass, units);
        let n_experts = scores.dims()[2];
        let s = sigmoid(scores.clone()); // (1)
        // The logits of the softmax in the losses.
        let logits = if self.config.compete { s.clone() } else { scores.clone() };
        let p = softmax(logits.clone(), 2);
        let by = if self.config.compete { p.clone() } else { s };
        let (experts, chosen) = scores::choose(pass, by, self.config.k);
        let weights = match (self.config.compete, self.config.renormalise) {
            (true, _) => chosen.clone() / chosen.sum_dim(2),
            (false, true) => shares::of_sigmoids(scores.gather(2, experts.clone())),
            (false, false) => chosen, // (2)
        };
        losses::add(pass, "entropy", self.config.entropy, || {
            losses::negative_entropy(p.clone()) // (3)
        });
        self.balance.add(pass, self.config.balance, p, experts.clone());
        losses::add(pass, "z", self.config.z, || losses::router_z(logits));
        Plan::TokenChoice { experts, weights, n_experts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chosen, close, fill, scalar};

    fn router(gate: Gate, config: SigmoidConfig) -> Sigmoid {
        let dims = Dims { width: 4, n_experts: 4, units: 3 };
        Sigmoid { gate, ..Sigmoid::init(&config, dims, &Init::new(0, &Device::flex())) }
    }

    #[test]
    fn weights_are_sigmoids_or_their_shares() {
        // sigmoid(ln 3) = 3/4, sigmoid(ln 1) = 1/2, sigmoid(ln 1/3) = 1/4.
        let s = [[(1.0_f32 / 3.0).ln(), 3_f32.ln(), 0.0]];
        let route = |renormalise, pass: &mut Pass| {
            let gate = Gate::of(Tensor::from_floats(s, &Device::flex()));
            let config = SigmoidConfig { renormalise, entropy: 1.0, ..SigmoidConfig::default() };
            chosen(&router(gate, config), pass, Tensor::ones([1, 1, 1], &Device::flex()))
        };
        let mut pass = Pass::eval();
        let (experts, weights) = route(false, &mut pass);
        assert_eq!(experts, [1, 2]);
        close(&weights, &[0.75, 0.5]);
        close(&route(true, &mut Pass::eval()).1, &[0.6, 0.4]);
        // softmax = (1, 9, 3) / 13: sum of p ln p = -0.7869296.
        let p = [1.0 / 13.0, 9.0 / 13.0, 3.0 / 13.0_f32];
        close(&[scalar(&pass, "entropy")], &[p.iter().map(|p| p * p.ln()).sum()]);
    }

    #[test]
    fn libmoe_gives_the_same() {
        // LibMoE's sigma-MoE layer was run on these inputs; its weights are stored as [out, in].
        let gate = Gate::of(fill(230, [4, 4], 2.0).transpose());
        let router = router(gate, SigmoidConfig::default());
        let (experts, weights) = chosen(&router, &mut Pass::eval(), fill(200, [1, 3, 4], 2.0));
        assert_eq!(experts[..2], [1, 2]);
        close(&weights[..2], &[0.522170, 0.425608]);
    }
}
