//! GShard's top-2: the second expert is visited at random, in proportion to its weight.
//!
//! Lepikhin et al. *GShard*. ICLR 2021. <https://arxiv.org/abs/2006.16668>, algorithm 1.
//!
//! p      = softmax(x W)                        line 3
//! g1, g2 = top-2(p), divided by their sum      lines 5 to 7
//! second expert with probability min(1, 2 g2)  line 11
//! loss   = E sum_i f_i P_i                     line 13, f from the first choices alone
//!
//! The loss is 1 at perfect balance and E at collapse.
//!
//! Differs from the paper: the loss is multiplied by E^2, as in all later implementations, so that its
//! value at balance does not depend on E. In evaluation nothing is drawn: the second expert is visited if
//! its probability is at least one half, g2 >= 1/4. Capacity is the layer's.
//!
//! Not to be confused with: `st-moe`, whose threshold on g2 is 0.2 instead of 1/2; `top-k` with
//! k = 2, which always visits both.

use burn::{module::Module, prelude::*};
use moe::{Dims, Init, Pass, Plan, Router, config, softmax, top_k};

use crate::kit::{Balance, BalanceLoss, Gate, check, noise, null};

config! {
    /// Load balancing.
    pub struct GShardConfig {
        /// Coefficient of the balance loss.
        pub balance: f64 = 0.01,
        /// The units that the loss of first choices averages over: in the paper those of the pass.
        pub balance_of: Balance = Balance::FirstChoices,
    }
}

/// Top-2 with a random second expert.
#[derive(Module, Debug)]
pub struct GShard {
    gate: Gate,
    balance: BalanceLoss,
    #[module(skip)]
    config: GShardConfig,
}

impl Router for GShard {
    type Config = GShardConfig;
    const NAME: &'static str = "gshard";
    const ABOUT: &'static str =
        "top-2; the second is drawn with a probability proportional to its weight";
    const PAPER: &'static str = "https://arxiv.org/abs/2006.16668";
    const EXPERTS_PER_UNIT: Option<usize> = Some(2);

    fn check(config: &GShardConfig, dims: Dims) -> Result<(), String> {
        check::k(2, dims)?;
        check::coefficient("balance", config.balance)
    }

    fn init(config: &GShardConfig, dims: Dims, init: &Init) -> Self {
        Self {
            gate: Gate::new(dims, init),
            balance: BalanceLoss::new(config.balance_of, dims, init),
            config: config.clone(),
        }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let p = softmax(self.gate.forward(pass, units), 2); // line 3
        let [g, u, n_experts] = p.dims();
        let (experts, weights) = top_k(p.clone(), 2);
        let weights = weights.clone() / weights.sum_dim(2); // lines 5 to 7
        self.balance.add(pass, self.config.balance, p, experts.clone().narrow(2, 0, 1)); // line 13
        let device = weights.device().inner();
        let lot = match pass.training() {
            true => noise::uniform(pass, [g, u, 1], (0.0, 1.0), &device),
            false => Tensor::full([g, u, 1], 0.5, &device),
        };
        let second = (weights.clone().detach().inner().narrow(2, 1, 1) * 2.0).lower(lot); // line 11
        let first = second.clone().bool_and(second.clone().bool_not());
        null::without(Tensor::cat(vec![first, second], 2), experts, weights, n_experts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chosen, close, scalar};

    /// One group of 4000 units, x = 1, p = (6, 2, 1, 1) / 10.
    fn route(pass: &mut Pass, odds: [f32; 4]) -> (Vec<i32>, Vec<f32>) {
        let device = Device::flex();
        let gate = Gate::of(Tensor::from_floats([odds.map(f32::ln)], &device));
        let (config, init) = (GShardConfig::default(), Init::new(0, &device));
        let dims = Dims { width: 1, n_experts: 4, units: 4000 };
        let router = GShard { gate, ..GShard::init(&config, dims, &init) };
        chosen(&router, pass, Tensor::ones([1, 4000, 1], &device))
    }

    #[test]
    fn the_second_expert_comes_with_twice_its_weight() {
        // g = (3/4, 1/4): the second with probability 1/2.
        let (experts, weights) = route(&mut Pass::train(0, 0, 0.0), [6.0, 2.0, 1.0, 1.0]);
        let both = experts.chunks(2).filter(|pair| pair[1] == 1).count();
        // The standard deviation is sqrt(4000 / 4) = 32.
        assert!(both.abs_diff(2000) < 4 * 32, "{both}");
        let alone = experts.chunks(2).position(|pair| pair[1] == 4).unwrap();
        close(&weights[2 * alone..2 * alone + 2], &[0.75, 0.0]);
    }

    #[test]
    fn evaluation_takes_what_is_as_likely_as_not() {
        let (experts, weights) = route(&mut Pass::eval(), [6.0, 2.1, 1.0, 1.0]);
        assert_eq!(experts[..2], [0, 1]);
        close(&weights[..2], &[6.0 / 8.1, 2.1 / 8.1]);
        assert_eq!(route(&mut Pass::eval(), [6.0, 1.9, 1.0, 1.0]).0[..2], [0, 4]);
    }

    #[test]
    fn the_loss_counts_first_choices() {
        let mut pass = Pass::eval();
        route(&mut pass, [6.0, 2.0, 1.0, 1.0]);
        // f = (1, 0, 0, 0), P_0 = 6/10: 0.01 * 4 * 0.6.
        close(&[scalar(&pass, "balance")], &[0.024]);
    }
}
