//! BASE layers: in training the units are assigned to experts in equal numbers, with the largest total
//! score.
//!
//! Lewis, Bhosale, Dettmers, Goyal, Zettlemoyer. *BASE Layers: Simplifying Training of Large, Sparse
//! Models*. ICML 2021. <https://arxiv.org/abs/2103.16716>
//!
//! maximise sum_t x_t w_{a_t}, each expert assigned to T / E units          (1), in training
//! a_t = argmax_i x_t w_i                                                   (2), in evaluation
//! y_t = sigmoid(x_t w_{a_t}) E_{a_t}(x_t)                                  (3)
//!
//! The assignment depends on the whole group: not for decoders.
//!
//! Differs from the paper: the assignment is optimal (the paper's auction stops within a bound); units are
//! assigned within their group, each expert to at most T / E of them, rounded up; the scores are read back
//! for the assignment. The residual connection around the expert is the network's.
//!
//! Not to be confused with: `sinkhorn`, which solves a smooth form of the same problem.

use burn::{module::Module, prelude::*, tensor::activation::sigmoid};
use moe::{Dims, Init, NoConfig, Pass, Plan, Router, read_back, top_k};

use crate::kit::{Gate, assignment};

/// Optimal assignment in equal numbers.
#[derive(Module, Debug)]
pub struct Base {
    gate: Gate,
}

impl Router for Base {
    type Config = NoConfig;
    const NAME: &'static str = "base";
    const ABOUT: &'static str =
        "optimal assignment of equal numbers of units to experts, in training (BASE)";
    const PAPER: &'static str = "https://arxiv.org/abs/2103.16716";
    const CAUSAL: bool = false;
    const EXPERTS_PER_UNIT: Option<usize> = Some(1);

    fn init(_config: &NoConfig, dims: Dims, init: &Init) -> Self {
        Self { gate: Gate::new(dims, init) }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let s = self.gate.forward(pass, units);
        let n_experts = s.dims()[2];
        let experts = match pass.training() {
            true => assigned(s.clone().detach().inner()),    // (1)
            false => top_k(s.clone().detach().inner(), 1).0, // (2)
        };
        let weights = sigmoid(s.gather(2, experts.clone())); // (3)
        Plan::TokenChoice { experts, weights, n_experts }
    }
}

/// `[G, U, E] -> [G, U, 1]`.
fn assigned(s: Tensor<3>) -> Tensor<3, Int> {
    let ([g, u, e], device) = (s.dims(), s.device());
    let scores: Vec<f32> = read_back(s).iter::<f32>().collect();
    let of_group = |group: &[f32]| assignment::balanced(group, e, u.div_ceil(e));
    let experts: Vec<i32> = scores.chunks(u * e).flat_map(of_group).map(|e| e as i32).collect();
    Tensor::from_data(TensorData::new(experts, [g, u, 1]), &device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chosen, close};

    fn route(pass: &mut Pass) -> (Vec<i32>, Vec<f32>) {
        // Three of four units prefer expert 0; moving the second unit loses least.
        let s = [[3.0, 0.0], [3.0, 2.5], [2.0, 0.0], [0.0, 1.0]];
        let router = Base { gate: Gate::of(Tensor::eye(2, &Device::flex())) };
        chosen(&router, pass, Tensor::<2>::from_floats(s, &Device::flex()).unsqueeze())
    }

    #[test]
    fn training_is_even_and_evaluation_is_greedy() {
        let (experts, weights) = route(&mut Pass::train(0, 0, 0.0));
        assert_eq!(experts, [0, 1, 0, 1]);
        // 1 / (1 + e^-3), 1 / (1 + e^-2.5)
        close(&weights[..2], &[0.9525741, 0.9241418]);
        assert_eq!(route(&mut Pass::eval()).0, [0, 0, 0, 1]);
    }
}
