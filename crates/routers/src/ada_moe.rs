//! AdaMoE: null experts that do nothing compete for the choices, so that easy units visit fewer.
//!
//! Zeng et al. *AdaMoE: Token-Adaptive Routing with Null Experts*. EMNLP Findings 2024.
//! <https://arxiv.org/abs/2406.13233>
//!
//! p = softmax(x W), over E true and m null experts                         (1)
//! S = top-k(p), with a k larger than usual                                 (2)
//! g = p over the true experts of S, divided by their sum                   (3)
//! loss = alpha (E + m) sum_i f_i P_i                                       (4)
//!
//! f_i is the share of units that choose expert i. For each null expert it is replaced by the mean over
//! the null experts, since a choice among null experts makes no difference. At perfect balance the loss is
//! alpha k.
//!
//! `faithful = "reference"`: the published code averages over the wrong axis, which has no effect, so its
//! null experts are balanced individually.
//!
//! Differs from the paper: the output of a unit that chooses only null experts is 0.
//!
//! Not to be confused with: the null expert of a plan, to which the choices of null experts are sent;
//! `top-p`.

use burn::{module::Module, prelude::*};
use moe::{Dims, Init, Pass, Plan, Router, config, softmax, top_k_indices};

use crate::kit::{Faithful, Gate, check, load, losses, null, shares};

config! {
    /// The choices of a unit, null experts, and balance.
    pub struct AdaMoeConfig {
        /// Choices of each unit, true and null.
        pub k: usize = 4,
        /// Null experts, m. If there are as many as true experts, half of the choices are null.
        pub nulls: usize = 8,
        /// Coefficient of the balance loss, alpha.
        pub balance: f64 = 0.001,
        /// The variant of the balance loss.
        pub faithful: Faithful = Faithful::Paper,
    }
}

/// Top-k among true and null experts.
#[derive(Module, Debug)]
pub struct AdaMoe {
    gate: Gate,
    n_experts: usize,
    #[module(skip)]
    config: AdaMoeConfig,
}

impl Router for AdaMoe {
    type Config = AdaMoeConfig;
    const NAME: &'static str = "ada-moe";
    const ABOUT: &'static str = "top-k over real and null experts";
    const PAPER: &'static str = "https://arxiv.org/abs/2406.13233";
    /// The gate has columns of null experts in addition to those of the true ones.
    const EXPERT_PERMUTATION_EQUIVARIANT: bool = false;

    fn check(config: &AdaMoeConfig, dims: Dims) -> Result<(), String> {
        check::coefficient("balance", config.balance)?;
        let instead = "k must be at least 2";
        check::gate_learns(config.k, true, dims, instead)?;
        match config.k {
            0 => Err("k = 0: must be at least 1".into()),
            k if k > dims.n_experts + config.nulls => Err(format!(
                "k = {k} is larger than experts + nulls = {}",
                dims.n_experts + config.nulls
            )),
            _ => Ok(()),
        }
    }

    fn init(config: &AdaMoeConfig, dims: Dims, init: &Init) -> Self {
        let all = Dims { n_experts: dims.n_experts + config.nulls, ..dims };
        Self { gate: Gate::new(all, init), n_experts: dims.n_experts, config: config.clone() }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let s = self.gate.forward(pass, units);
        let experts = top_k_indices(s.clone(), self.config.k); // (2)
        let null = experts.clone().greater_equal_scalar(self.n_experts as i64);
        let weights = shares::without(s.clone().gather(2, experts.clone()), null.clone()); // (3)
        losses::add(pass, "balance", self.config.balance, || {
            self.balance(softmax(s, 2), experts.clone()) // (1), (4)
        });
        null::without(null, experts, weights, self.n_experts)
    }
}

impl AdaMoe {
    fn balance(&self, p: Tensor<3>, experts: Tensor<3, Int>) -> Tensor<1> {
        let [g, u, all] = p.dims();
        let (e, m) = (self.n_experts, self.config.nulls);
        let mut f = load::counts(experts, all);
        if m > 0 && self.config.faithful == Faithful::Paper {
            let mean = f.clone().narrow(0, e, m).mean().expand([m]);
            f = Tensor::cat(vec![f.narrow(0, 0, e), mean], 0);
        }
        let p = p.sum_dim(0).sum_dim(1).reshape([all]);
        (f * p).sum() * (all as f64 / ((g * u) as f64).powi(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chosen, close, fill, scalar, values};

    /// Three true and three null experts; scores are the units.
    fn router(faithful: Faithful) -> AdaMoe {
        let config = AdaMoeConfig { k: 3, nulls: 3, balance: 1.0, faithful };
        AdaMoe { gate: Gate::of(Tensor::eye(6, &Device::flex())), n_experts: 3, config }
    }

    #[test]
    fn the_published_formulas_give_the_same() {
        // Choices 4 1 3, 0 2 1, 3 4 5, 2 3 1; indices from 3 on are null.
        let mut pass = Pass::eval();
        let (experts, weights) =
            chosen(&router(Faithful::Paper), &mut pass, fill(340, [1, 4, 6], 4.0));
        assert_eq!(experts, [3, 1, 3, 0, 2, 1, 3, 3, 3, 2, 3, 1]);
        close(&weights[..9], &[0.0, 1.0, 0.0, 0.543641, 0.242249, 0.214110, 0.0, 0.0, 0.0]);
        close(&[scalar(&pass, "balance")], &[3.020331]);
    }

    #[test]
    fn the_reference_balances_null_experts_one_by_one() {
        let x = fill(340, [1, 4, 6], 4.0);
        let mut pass = Pass::eval();
        chosen(&router(Faithful::Reference), &mut pass, x.clone());
        // Counts of the choices above: 1 3 2 3 2 1.
        let p = values(softmax(x, 2).sum_dim(1));
        let sum: f32 = [1.0, 3.0, 2.0, 3.0, 2.0, 1.0].iter().zip(p).map(|(f, p)| f * p).sum();
        close(&[scalar(&pass, "balance")], &[6.0 * sum / 16.0]);
    }
}
