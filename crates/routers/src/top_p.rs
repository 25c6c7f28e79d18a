//! Dynamic top-p routing: the fewest experts whose probabilities sum to more than p.
//!
//! Huang et al. *Harder Tasks Need More Experts: Dynamic Routing in MoE Models*. ACL 2024.
//! <https://arxiv.org/abs/2403.07652>
//!
//! P = softmax(x W)                                                         (1)
//! S = the fewest experts, best first, whose P sum to more than p           (4), (5)
//! y = sum_{i in S} P_i E_i(x)                                              (6)
//! loss = a mean(-sum_i P_i ln P_i) + b E sum_i f_i Q_i                     (7), (8)
//!
//! The first loss keeps the probabilities of a unit concentrated, so that it does not require all experts.
//! In the second, f_i is the share of units that visit expert i, and Q_i the mean of P_i: at perfect
//! balance it is the mean number of experts for each unit.
//!
//! Differs from the paper: nothing known.
//!
//! Not to be confused with: `remoe`, where scores do not compete.

use burn::{module::Module, prelude::*};
use moe::{Dims, Init, Pass, Plan, Router, config, softmax, top_k};

use crate::kit::{Balance, BalanceLoss, Gate, check, losses, null};

config! {
    /// The probability mass per unit, and the losses for balance and low entropy.
    pub struct TopPConfig {
        /// The probability to reach, p.
        pub p: f64 = 0.4,
        /// Coefficient of the entropy loss, a.
        pub entropy: f64 = 0.0001,
        /// Coefficient of the balance loss, b.
        pub balance: f64 = 0.01,
        /// The balance loss: `units`, as in the paper, or `step`, which is 1 at perfect balance.
        pub balance_of: Balance = Balance::Units,
    }
}

/// The fewest experts whose probabilities sum to more than p.
#[derive(Module, Debug)]
pub struct TopP {
    gate: Gate,
    balance: BalanceLoss,
    #[module(skip)]
    config: TopPConfig,
}

impl Router for TopP {
    type Config = TopPConfig;
    const NAME: &'static str = "top-p";
    const ABOUT: &'static str = "as many experts as it takes to reach a probability of p";
    const PAPER: &'static str = "https://arxiv.org/abs/2403.07652";

    fn check(config: &TopPConfig, _dims: Dims) -> Result<(), String> {
        check::share("p", config.p)?;
        check::coefficient("entropy", config.entropy)?;
        check::coefficient("balance", config.balance)?;
        check::balance_of_a_varying_number(config.balance_of)
    }

    fn init(config: &TopPConfig, dims: Dims, init: &Init) -> Self {
        Self {
            gate: Gate::new(dims, init),
            balance: BalanceLoss::new(config.balance_of, dims, init),
            config: config.clone(),
        }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let p = softmax(self.gate.forward(pass, units), 2); // (1)
        let e = p.dims()[2];
        let (experts, weights) = top_k(p.clone(), e);
        let sorted = weights.clone().detach();
        // An expert is chosen if the experts before it do not exceed p.
        let before = sorted.clone().cumsum(2) - sorted;
        let plan = null::without(before.greater_scalar(self.config.p), experts, weights, e); // (4) to (6)
        let Plan::TokenChoice { experts, .. } = &plan else { unreachable!("units choose") };
        losses::add(pass, "entropy", self.config.entropy, || losses::entropy(p.clone())); // (7)
        self.balance.add(pass, self.config.balance, p, experts.clone()); // (8)
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chosen, close, fill, scalar};

    fn route(s: Tensor<3>, pass: &mut Pass) -> Vec<Vec<i32>> {
        let e = s.dims()[2];
        let gate = Gate::of(Tensor::eye(e, &Device::flex())); // scores are the units
        let config = TopPConfig { entropy: 1.0, balance: 1.0, ..TopPConfig::default() };
        let dims = Dims { width: e, n_experts: e, units: 1 };
        let router = TopP { gate, ..TopP::init(&config, dims, &Init::new(0, &Device::flex())) };
        let (experts, _) = chosen(&router, pass, s);
        let visited = |unit: &[i32]| unit.iter().copied().filter(|x| *x < e as i32).collect();
        experts.chunks(e).map(visited).collect()
    }

    #[test]
    fn the_published_code_gives_the_same() {
        // ZhenweiAn/Dynamic_MoE was run on these scores.
        let sets = route(fill(330, [1, 3, 5], 4.0), &mut Pass::eval());
        assert_eq!(sets, [vec![1], vec![0, 4], vec![3]]);
    }

    #[test]
    fn a_number_worked_by_hand() {
        let p = [[0.3, 0.2, 0.4, 0.1], [0.1, 0.1, 0.1, 0.7_f32]].map(|row| row.map(f32::ln));
        let mut pass = Pass::eval();
        // 0.4 is not more than 0.4, so the first unit needs a second expert.
        let sets = route(Tensor::<2>::from_floats(p, &Device::flex()).unsqueeze(), &mut pass);
        assert_eq!(sets, [vec![2, 0], vec![3]]);
        // f = (1, 0, 1, 1) / 2, Q = (0.2, 0.15, 0.25, 0.4): 4 * 0.425 = 1.7.
        close(&[scalar(&pass, "balance")], &[1.7]);
        // 1.2798542 and 0.9404480.
        close(&[scalar(&pass, "entropy")], &[1.110151]);
    }
}
