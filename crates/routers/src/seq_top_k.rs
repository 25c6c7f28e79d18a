//! SeqTopK: a sequence has k experts per unit, which are distributed over its units by probability.
//!
//! Wen et al. *Route Experts by Sequence, not by Token*. 2025. <https://arxiv.org/abs/2511.06494>
//!
//! p = softmax(x W)                                                         (1)
//! S = the U k largest p_ti among all units t and experts i of the sequence (2)
//! y_t = sum of p_ti E_i(x_t) over (t, i) in S                              (3)
//! loss = c E sum_i f_i P_i                                                 (4), f_i the share of units
//!
//! The budget is that of top-k, but a difficult unit may have more experts and an easy one fewer, or none.
//! The distribution depends on the whole sequence: not for decoders.
//!
//! Differs from the paper: a unit has at most `most` experts, which limits the memory of the plan; all
//! probabilities that are equal to the smallest of S are in S; the paper's online form for decoding is
//! left out.
//!
//! Not to be confused with: `expert-choice`, where every expert has the same load; `top-p`, whose
//! number of experts depends on the unit alone.

use burn::{module::Module, prelude::*};
use moe::{Dims, Init, Pass, Plan, Router, config, softmax, top_k};

use crate::kit::{Balance, BalanceLoss, Gate, check, null, quantile};

config! {
    /// The number of experts per unit, on average and at most.
    pub struct SeqTopKConfig {
        /// Experts for each unit on average.
        pub k: usize = 2,
        /// Experts for one unit at most.
        pub most: usize = 4,
        /// Coefficient of the balance loss, which is k at perfect balance.
        pub balance: f64 = 0.01,
        /// The balance loss: `units`, as in the paper, or `step`, which is 1 at perfect balance.
        pub balance_of: Balance = Balance::Units,
    }
}

/// The largest probabilities of a sequence.
#[derive(Module, Debug)]
pub struct SeqTopK {
    gate: Gate,
    balance: BalanceLoss,
    #[module(skip)]
    config: SeqTopKConfig,
}

impl Router for SeqTopK {
    type Config = SeqTopKConfig;
    const NAME: &'static str = "seq-top-k";
    const ABOUT: &'static str = "top scores over a whole sequence instead of each unit";
    const PAPER: &'static str = "https://arxiv.org/abs/2511.06494";
    const CAUSAL: bool = false;

    fn check(config: &SeqTopKConfig, dims: Dims) -> Result<(), String> {
        check::k(config.k, dims)?;
        check::coefficient("balance", config.balance)?;
        check::balance_of_a_varying_number(config.balance_of)?;
        let SeqTopKConfig { k, most, .. } = *config;
        match most {
            _ if most < k => Err(format!("most = {most} is smaller than k = {k}")),
            _ if most > dims.n_experts => {
                Err(format!("most = {most} is larger than experts = {}", dims.n_experts))
            }
            _ => Ok(()),
        }
    }

    fn init(config: &SeqTopKConfig, dims: Dims, init: &Init) -> Self {
        Self {
            gate: Gate::new(dims, init),
            balance: BalanceLoss::new(config.balance_of, dims, init),
            config: config.clone(),
        }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let p = softmax(self.gate.forward(pass, units), 2); // (1)
        let SeqTopKConfig { k, most, .. } = self.config;
        let [g, u, e] = p.dims();
        let (experts, weights) = top_k(p.clone(), most);
        let still = weights.clone().detach().inner();
        let last = quantile::at_rank(still.clone().reshape([g, u * most]), u * k - 1);
        let below = still.lower(last.reshape([g, 1, 1]).expand([g, u, most])); // (2)
        let plan = null::without(below, experts, weights, e); // (3)
        let Plan::TokenChoice { experts, .. } = &plan else { unreachable!("units choose") };
        self.balance.add(pass, self.config.balance, p, experts.clone()); // (4)
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chosen, close, fill, scalar};

    fn router(k: usize, most: usize) -> SeqTopK {
        let gate = Gate::of(Tensor::eye(4, &Device::flex())); // scores are the units
        let config = SeqTopKConfig { k, most, ..SeqTopKConfig::default() };
        let dims = Dims { width: 4, n_experts: 4, units: 2 };
        SeqTopK { gate, ..SeqTopK::init(&config, dims, &Init::new(0, &Device::flex())) }
    }

    #[test]
    fn the_undecided_unit_gets_what_the_certain_one_does_not_need() {
        let p = [[0.85, 0.05, 0.05, 0.05], [0.4, 0.3, 0.2, 0.1_f32]].map(|row| row.map(f32::ln));
        let x = || Tensor::<2>::from_floats(p, &Device::flex()).unsqueeze::<3>();
        // The four largest of both units: 0.85, 0.4, 0.3, 0.2.
        let mut pass = Pass::eval();
        let (experts, weights) = chosen(&router(2, 3), &mut pass, x());
        assert_eq!(experts, [0, 4, 4, 0, 1, 2]);
        close(&weights, &[0.85, 0.0, 0.0, 0.4, 0.3, 0.2]);
        // f = (2, 1, 1, 0) / 2, P = (0.625, 0.175, 0.125, 0.075): 0.01 * 4 * 0.775.
        close(&[scalar(&pass, "balance")], &[0.031]);
        // With at most two experts each it is top-2.
        let (experts, _) = chosen(&router(2, 2), &mut Pass::eval(), x());
        assert_eq!(experts, [0, 1, 0, 1]);
    }

    #[test]
    fn each_sequence_spends_its_budget() {
        let (experts, _) = chosen(&router(2, 4), &mut Pass::eval(), fill(1, [3, 10, 4], 6.0));
        for sequence in experts.chunks(10 * 4) {
            assert_eq!(sequence.iter().filter(|e| **e < 4).count(), 20);
        }
    }
}
