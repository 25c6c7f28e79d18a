//! A frozen random gate: equal units go to equal experts, but nothing is learned.
//!
//! Chen, Zhang, Jaiswal, Liu, Wang. *Sparse MoE as the New Dropout: Scaling Dense and Self-Slimmable
//! Transformers* (SMoE-Dropout). ICLR 2023. <https://arxiv.org/abs/2303.01610>
//!
//! s = x W, W random and fixed                  section 3.2
//! g = softmax(s over S), S = top-k(s)
//!
//! W is saved with the network and not trained. The gain of a learned router over this one measures the
//! value of learning to route; the gain of this one over `random` measures the value of consistency.
//!
//! Differs from the paper: k does not grow during training.
//!
//! Not to be confused with: `hash`, which depends on the token and not on x.

use burn::{
    module::{Module, RunningState},
    prelude::*,
};
use moe::{Dims, Init, Pass, Plan, Router, config, matmul, softmax};

use crate::kit::{check, scores};

config! {
    /// The number of experts per unit.
    pub struct FrozenConfig {
        /// Experts for each unit.
        pub k: usize = 2,
    }
}

/// Top-k of a gate that is not trained.
#[derive(Module, Debug)]
pub struct Frozen {
    /// `[D, E]`.
    gate: RunningState<Tensor<2>>,
    k: usize,
}

impl Router for Frozen {
    type Config = FrozenConfig;
    const NAME: &'static str = "frozen";
    const ABOUT: &'static str = "top-k of a random gate that is not trained";
    const PAPER: &'static str = "https://arxiv.org/abs/2303.01610";

    fn check(config: &FrozenConfig, dims: Dims) -> Result<(), String> {
        check::k(config.k, dims)
    }

    fn init(config: &FrozenConfig, dims: Dims, init: &Init) -> Self {
        let std = 1.0 / (dims.width as f64).sqrt();
        let gate = init.normal("gate", [dims.width, dims.n_experts], std).val();
        Self { gate: init.state("gate", gate.detach().inner()), k: config.k }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let ([g, u, d], gate) = (units.dims(), self.gate.value_sync().detach());
        let [_, n_experts] = gate.dims();
        let s = matmul(units.reshape([g * u, d]), gate).reshape([g, u, n_experts]);
        let (experts, chosen) = scores::choose(pass, s, self.k);
        Plan::TokenChoice { experts, weights: softmax(chosen, 2), n_experts }
    }

    fn flops_per_unit(&self) -> f64 {
        2.0 * self.gate.value().dims().iter().product::<usize>() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chosen, close};

    #[test]
    fn a_number_worked_by_hand() {
        let device = Device::flex();
        let gate = Tensor::from_floats([[0.0, 3_f32.ln(), -1.0]], &device);
        let router = Frozen { gate: RunningState::new(gate), k: 2 };
        let (experts, weights) =
            chosen(&router, &mut Pass::eval(), Tensor::ones([1, 1, 1], &device));
        assert_eq!(experts, [1, 0]);
        close(&weights, &[0.75, 0.25]);
    }

    #[test]
    fn nothing_is_trained() {
        let dims = Dims { width: 8, n_experts: 4, units: 3 };
        let init = Init::new(0, &Device::flex().autodiff());
        let router = Frozen::init(&FrozenConfig::default(), dims, &init);
        assert!(crate::conformance::trained(&router).is_empty());
    }
}
