//! Sinkhorn routing: in training, scores are rescaled until all experts have equal shares.
//!
//! Clark et al. *Unified Scaling Laws for Routed Language Models* (S-BASE). ICML 2022.
//! <https://arxiv.org/abs/2202.01169>, appendix B; in the form of Megatron-core.
//!
//! C = exp(s), s = x W                                                      (1)
//! repeat a_t = (1 / T) / sum_i C_ti b_i, b_i = (1 / E) / sum_t a_t C_ti, from b = 1,  (2)
//!        until the mean of |change of b| is at most 1e-4
//! S = top-k of a C b in training, top-k of s in evaluation                 (3)
//! g = softmax(s) over S, or sigmoid(s) if k = 1                            (4)
//!
//! No gradient flows through the scaling, and there is no balance loss. T is the number of units of the
//! pass. In training every choice depends on all units: not for decoders.
//!
//! Differs from the paper: k may be larger than 1; the weights and the stopping criterion are those of
//! Megatron-core, and there are at most 100 rounds.
//!
//! Not to be confused with: `base`, which solves the assignment exactly.

use burn::{module::Module, prelude::*, tensor::activation::sigmoid};
use moe::{Dims, Init, Pass, Plan, Router, config, kernels::on_flex, read_back, softmax, top_k};

use crate::kit::{Gate, check};

config! {
    /// The number of experts per unit.
    pub struct SinkhornConfig {
        /// Experts for each unit.
        pub k: usize = 2,
    }
}

/// Top-k of scores that are balanced in training.
#[derive(Module, Debug)]
pub struct Sinkhorn {
    gate: Gate,
    k: usize,
}

impl Router for Sinkhorn {
    type Config = SinkhornConfig;
    const NAME: &'static str = "sinkhorn";
    const ABOUT: &'static str = "top-k of scores that are balanced in training";
    const PAPER: &'static str = "https://arxiv.org/abs/2202.01169";
    const CAUSAL: bool = false;

    fn check(config: &SinkhornConfig, dims: Dims) -> Result<(), String> {
        check::k(config.k, dims)
    }

    fn init(config: &SinkhornConfig, dims: Dims, init: &Init) -> Self {
        Self { gate: Gate::new(dims, init), k: config.k }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let s = self.gate.forward(pass, units); // (1)
        let [g, u, e] = s.dims();
        let still = s.clone().detach().inner();
        let wanted = match pass.training() {
            true => balanced(still.reshape([g * u, e])).reshape([g, u, e]),
            false => still,
        };
        let (experts, _) = top_k(wanted, self.k); // (3)
        let p = if self.k == 1 { sigmoid(s) } else { softmax(s, 2) };
        Plan::TokenChoice { weights: p.gather(2, experts.clone()), experts, n_experts: e } // (4)
    }
}

/// `[T, E]`, with rows that sum to 1 / T and columns that sum to approximately 1 / E.
fn balanced(s: Tensor<2>) -> Tensor<2> {
    let [t, e] = s.dims();
    // A factor for each row changes only the magnitude of the numbers.
    let c = (s.clone() - s.max_dim(1)).exp();
    let ones = |shape| Tensor::<2>::ones(shape, &c.device());
    let (mut a, mut b) = (ones([t, 1]), ones([1, e]));
    let mut ended = Tensor::<2>::zeros([1, 1], &c.device()).greater_scalar(0.0);
    for _ in 0..100 {
        let rows = ((c.clone() * b.clone()).sum_dim(1) + 1e-8).recip() / t as f64;
        let columns = ((c.clone() * rows.clone()).sum_dim(0) + 1e-8).recip() / e as f64; // (2)
        let change = (columns.clone() - b.clone()).abs().mean();
        if on_flex(&c.device()) {
            (a, b) = (rows, columns);
            if read_back(change).iter::<f32>().all(|change| change <= 1e-4) {
                break;
            }
        } else {
            // All rounds are computed, so that nothing is read back; rounds after convergence change
            // nothing.
            a = rows.mask_where(ended.clone().expand([t, 1]), a);
            b = columns.mask_where(ended.clone().expand([1, e]), b);
            ended = ended.bool_or(change.lower_equal_scalar(1e-4).reshape([1, 1]));
        }
    }
    c * a * b
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chosen, close, fill, values};
    use moe::kernels::{read_backs_of, without_kernels};

    #[test]
    fn the_published_code_gives_the_same() {
        // Megatron-core's sinkhorn was run on these scores.
        let plan = values(balanced(fill(360, [4, 3], 4.0)));
        close(&plan[..6], &[0.042674, 0.030812, 0.176495, 0.135165, 0.108949, 0.005903]);
        let router = Sinkhorn { gate: Gate::of(Tensor::eye(3, &Device::flex())), k: 1 };
        let x = fill(360, [1, 4, 3], 4.0);
        let (experts, weights) = chosen(&router, &mut Pass::train(0, 0, 0.0), x.clone());
        assert_eq!(experts, [2, 0, 1, 2]);
        let s = values(sigmoid(x.clone()));
        close(&weights, &[s[2], s[3], s[7], s[11]]);
        // In evaluation the second unit gets its preferred experts.
        assert_eq!(chosen(&router, &mut Pass::eval(), x).0, [2, 1, 1, 2]);
    }

    #[test]
    fn all_experts_are_wanted_equally() {
        // All units strongly prefer expert 0.
        let s =
            fill(1, [64, 4], 1.0) + Tensor::from_floats([[3.0, 0.0, 0.0, 0.0]], &Device::flex());
        let plan = balanced(s);
        close(&values(plan.clone().sum_dim(1)), &[1.0 / 64.0; 64]);
        let columns = values(plan.sum_dim(0));
        assert!(columns.iter().all(|sum| (sum - 0.25).abs() < 1e-3), "{columns:?}");
    }

    #[test]
    fn rounds_without_a_read_back_end_where_those_of_the_host_do() {
        for s in [fill(360, [4, 3], 4.0), fill(1, [64, 4], 1.0), fill(2, [9, 5], 12.0)] {
            let host = values(balanced(s.clone()));
            let (found, read) = read_backs_of(|| without_kernels(|| values(balanced(s))));
            assert_eq!((found, read), (host, 0));
        }
    }
}
