//! ST-MoE routing: top-n, where experts after the first are visited at random by their weight, and a
//! z-loss.
//!
//! Zoph et al. *ST-MoE: Designing Stable and Transferable Sparse Expert Models*. 2022.
//! <https://arxiv.org/abs/2202.08906>, section 4 and appendix C.
//!
//! p = softmax(s), s = x W                                                  (1)
//! g = top-n(p), divided by its sum                                         (2)
//! the j-th expert, j > 1, with probability min(1, g_j / tau)               (3)
//! loss = c_B E sum_i f_i P_i + c_z mean(logsumexp(s)^2)                    (4), (5) of the paper
//!
//! Differs from the paper: in evaluation nothing is drawn; an expert is visited if its probability is at
//! least one half, g_j >= tau / 2. Capacity is the layer's (the paper's factor is 1.25 in training and 2
//! in evaluation, for each sequence).
//!
//! Not to be confused with: `gshard`, which has tau = 1/2 and no z-loss.

use burn::{module::Module, prelude::*};
use moe::{Dims, Init, Pass, Plan, Router, config, softmax, top_k};

use crate::kit::{Balance, BalanceLoss, Gate, check, losses, noise, null};

config! {
    /// The largest number of experts per unit, and load balancing.
    pub struct StMoeConfig {
        /// Experts for each unit at most, n.
        pub k: usize = 2,
        /// The weight from which on an expert is always visited, tau.
        pub threshold: f64 = 0.2,
        /// Coefficient of the balance loss, which counts first choices.
        pub balance: f64 = 0.01,
        /// The units that the loss of first choices averages over: in the paper those of the pass.
        pub balance_of: Balance = Balance::FirstChoices,
        /// Coefficient of the router z-loss.
        pub z: f64 = 0.001,
    }
}

/// Top-n with random experts after the first.
#[derive(Module, Debug)]
pub struct StMoe {
    gate: Gate,
    balance: BalanceLoss,
    #[module(skip)]
    config: StMoeConfig,
}

impl Router for StMoe {
    type Config = StMoeConfig;
    const NAME: &'static str = "st-moe";
    const ABOUT: &'static str = "top-n, later experts at random above a threshold, with z-loss";
    const PAPER: &'static str = "https://arxiv.org/abs/2202.08906";

    fn check(config: &StMoeConfig, dims: Dims) -> Result<(), String> {
        check::k(config.k, dims)?;
        check::gate_learns(config.k, true, dims, "k must be at least 2")?;
        check::share("threshold", config.threshold)?;
        check::coefficient("balance", config.balance)?;
        check::coefficient("z", config.z)
    }

    fn init(config: &StMoeConfig, dims: Dims, init: &Init) -> Self {
        Self {
            gate: Gate::new(dims, init),
            balance: BalanceLoss::new(config.balance_of, dims, init),
            config: config.clone(),
        }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let s = self.gate.forward(pass, units);
        let p = softmax(s.clone(), 2); // (1)
        let [g, u, n_experts] = p.dims();
        let (experts, weights) = top_k(p.clone(), self.config.k);
        let weights = weights.clone() / weights.sum_dim(2); // (2)
        self.balance.add(pass, self.config.balance, p, experts.clone().narrow(2, 0, 1)); // (4)
        losses::add(pass, "z", self.config.z, || losses::router_z(s)); // (5)
        let (shape, device) = ([g, u, self.config.k], weights.device().inner());
        let lots = match pass.training() {
            true => noise::uniform(pass, shape, (0.0, 1.0), &device),
            false => Tensor::full(shape, 0.5, &device),
        };
        let chance = weights.clone().detach().inner() / self.config.threshold;
        let rank =
            Tensor::<1, Int>::arange(0..self.config.k as i64, &device).reshape([1, 1, shape[2]]);
        let later = rank.greater_scalar(0).expand(shape);
        null::without(chance.lower(lots).bool_and(later), experts, weights, n_experts) // (3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chosen, close, scalar};

    /// One group of 4000 units, x = 1.
    fn route(pass: &mut Pass, odds: [f32; 4]) -> (Vec<i32>, Vec<f32>) {
        let device = Device::flex();
        let gate = Gate::of(Tensor::from_floats([odds.map(f32::ln)], &device));
        let config = StMoeConfig { z: 0.1, ..StMoeConfig::default() };
        let dims = Dims { width: 1, n_experts: 4, units: 4000 };
        let router = StMoe { gate, ..StMoe::init(&config, dims, &Init::new(0, &device)) };
        chosen(&router, pass, Tensor::ones([1, 4000, 1], &device))
    }

    #[test]
    fn the_second_expert_comes_in_proportion_below_the_threshold() {
        // g = (15, 1) / 16 = (0.9375, 0.0625): with probability 0.0625 / 0.2 = 0.3125.
        let (experts, _) = route(&mut Pass::train(0, 0, 0.0), [15.0, 1.0, 0.5, 0.5]);
        let both = experts.chunks(2).filter(|pair| pair[1] == 1).count();
        // Expected 1250; the standard deviation is sqrt(4000 * 0.3125 * 0.6875) = 29.
        assert!(both.abs_diff(1250) < 4 * 29, "{both}");
    }

    #[test]
    fn above_the_threshold_it_always_comes() {
        let (experts, weights) = route(&mut Pass::train(0, 0, 0.0), [3.0, 1.0, 0.5, 0.5]);
        assert!(experts.chunks(2).all(|pair| *pair == [0, 1]));
        close(&weights[..2], &[0.75, 0.25]);
    }

    #[test]
    fn losses_by_hand() {
        let mut pass = Pass::eval();
        route(&mut pass, [5.0, 2.0, 2.0, 1.0]);
        // f = (1, 0, 0, 0), P_0 = 1/2: 0.01 * 4 / 2. z = 0.1 (ln 10)^2 = 0.53018981.
        close(&[scalar(&pass, "balance"), scalar(&pass, "z")], &[0.02, 0.530_189_8]);
    }
}
