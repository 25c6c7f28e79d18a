//! Sample: say in one sentence what it does.
//!
//! Authors. *Title*. Venue, year. <https://arxiv.org/abs/1701.06538>
//!
//! p(x) = softmax(x W)                                            (1)
//! y    = sum_{i in S} p_i / (sum_{j in S} p_j) E_i(x),
//!        S the k largest of p(x)                                 (2)
//!
//! Differs from the paper: say what.
//!
//! Not to be confused with: say with what.

use burn::{module::Module, prelude::*};
use moe::{Dims, Init, Pass, Plan, Router, config, softmax};

use crate::kit::{Balance, BalanceLoss, Gate, check, scores};

config! {
    /// Hyperparameters of the router.
    pub struct SampleConfig {
        /// Experts for each unit.
        pub k: usize = 2,
        /// Coefficient of the balance loss.
        pub balance: f64 = 0.01,
    }
}

/// Each unit goes to its k most probable experts.
#[derive(Module, Debug)]
pub struct Sample {
    gate: Gate,
    balance: BalanceLoss,
    #[module(skip)]
    config: SampleConfig,
}

impl Router for Sample {
    type Config = SampleConfig;
    const NAME: &'static str = "sample";
    const ABOUT: &'static str = "top-k by a linear gate";
    const PAPER: &'static str = "https://arxiv.org/abs/1701.06538";

    fn check(config: &SampleConfig, dims: Dims) -> Result<(), String> {
        check::k(config.k, dims)?;
        check::gate_learns(config.k, true, dims, "k must be at least 2")?;
        check::coefficient("balance", config.balance)
    }

    fn init(config: &SampleConfig, dims: Dims, init: &Init) -> Self {
        let balance = BalanceLoss::new(Balance::Choices, dims, init);
        Self { gate: Gate::new(dims, init), balance, config: config.clone() }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let s = self.gate.forward(pass, units); // (1)
        let n_experts = s.dims()[2];
        let experts = scores::best(pass, s.clone(), self.config.k);
        let weights = softmax(s.clone().gather(2, experts.clone()), 2); // (2)
        self.balance.add(pass, self.config.balance, softmax(s, 2), experts.clone());
        Plan::TokenChoice { experts, weights, n_experts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chosen, close};

    #[test]
    fn a_number_worked_by_hand() {
        let device = Device::flex();
        let (dims, init) = (Dims { width: 1, n_experts: 3, units: 1 }, Init::new(0, &device));
        let odds = [[3_f32.ln(), 2_f32.ln(), 0.0]];
        let gate = Gate::of(Tensor::from_floats(odds, &device));
        let router = Sample { gate, ..Sample::init(&SampleConfig::default(), dims, &init) };
        let (experts, weights) =
            chosen(&router, &mut Pass::eval(), Tensor::ones([1, 1, 1], &device));
        // p = (3, 2, 1) / 6; of the two largest, 3 / 5 and 2 / 5.
        assert_eq!(experts, [0, 1]);
        close(&weights, &[0.6, 0.4]);
    }
}
