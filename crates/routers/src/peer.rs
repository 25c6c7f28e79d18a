//! Product keys (PEER): the best of a very large number of experts, found without scoring all of them.
//!
//! He. *Mixture of A Million Experts*. 2024. <https://arxiv.org/abs/2407.04153>
//! Lample et al. *Large Memory Layers with Product Keys*. NeurIPS 2019.
//! <https://arxiv.org/abs/1907.05242>
//!
//! q = x Q, split into q1, q2                                               (4)
//! I1 = top-k(q1 c_i over keys c), I2 = top-k(q2 c'_j over keys c')         (5)
//! s_ij = q1 c_i + q2 c'_j over I1 x I2                                     (6)
//! S = top-k(s), g = softmax(s over S); expert (i, j) has the number i N' + j  (7)
//! y = the sum over heads, each with a query of its own                     (8)
//!
//! E = N N' experts require N + N' products. N is the largest divisor of E that is at most sqrt(E).
//!
//! Differs from the paper: no batch norm on the query; E need not be a square. The paper's experts are
//! single neurons; here they are the experts of the layer, for instance `ffn` with `hidden = 1`.
//!
//! Not to be confused with: `top-k`, which scores every expert.

use burn::{
    module::{Module, Param},
    prelude::*,
};
use moe::{Dims, Init, Pass, Plan, Router, config, matmul, softmax, top_k};

use crate::kit::check;

config! {
    /// Heads, experts per head, and the keys.
    pub struct PeerConfig {
        /// Experts for each unit and head.
        pub k: usize = 2,
        /// The number of queries of each unit, each of which makes its own choice.
        pub heads: usize = 1,
        /// The width of half a query.
        pub query: usize = 16,
    }
}

/// Top-k by product keys.
#[derive(Module, Debug)]
pub struct Peer {
    /// `[D, heads * 2 * query]`.
    query: Param<Tensor<2>>,
    /// `[heads, query, N]`.
    first_keys: Param<Tensor<3>>,
    /// `[heads, query, N']`.
    second_keys: Param<Tensor<3>>,
    #[module(skip)]
    config: PeerConfig,
}

/// N and N'.
fn sides(n_experts: usize) -> [usize; 2] {
    let fits = |n: &usize| n * n <= n_experts && n_experts.is_multiple_of(*n);
    let n = (1..=n_experts).filter(fits).max().unwrap_or(1);
    [n, n_experts / n]
}

impl Router for Peer {
    type Config = PeerConfig;
    const NAME: &'static str = "peer";
    const ABOUT: &'static str = "top-k by product keys, for very many experts";
    const PAPER: &'static str = "https://arxiv.org/abs/2407.04153";
    /// An expert is a pair of keys, each of which it shares with other experts.
    const EXPERT_PERMUTATION_EQUIVARIANT: bool = false;

    fn check(config: &PeerConfig, dims: Dims) -> Result<(), String> {
        check::k(config.k, dims)?;
        check::gate_learns(config.k, true, dims, "k must be at least 2")?;
        match *config {
            PeerConfig { heads: 0, .. } => Err("heads = 0: must be at least 1".into()),
            PeerConfig { query: 0, .. } => Err("query = 0: must be at least 1".into()),
            _ => Ok(()),
        }
    }

    fn init(config: &PeerConfig, dims: Dims, init: &Init) -> Self {
        let PeerConfig { heads, query, .. } = *config;
        let [n, m] = sides(dims.n_experts);
        let keys = |name, n| init.normal(name, [heads, query, n], 1.0 / (query as f64).sqrt());
        let bound = 1.0 / (dims.width as f64).sqrt();
        Self {
            query: init.uniform("query", [dims.width, heads * 2 * query], bound),
            first_keys: keys("first_keys", n),
            second_keys: keys("second_keys", m),
            config: config.clone(),
        }
    }

    fn route(&self, _pass: &mut Pass, units: Tensor<3>) -> Plan {
        let PeerConfig { heads, query, .. } = self.config;
        let [g, u, d] = units.dims();
        let q = matmul(units.reshape([g * u, d]), self.query.val()); // (4)
        let q = q.reshape([g * u, heads, 2, query]).permute([2, 1, 0, 3]);
        let half = |i| q.clone().narrow(0, i, 1).squeeze_dim::<3>(0);
        let first = matmul(half(0), self.first_keys.val()); // [heads, G U, N]
        let second = matmul(half(1), self.second_keys.val());
        let (experts, weights) = self.best(first, second);
        let shape = [g, u, heads * experts.dims()[2]];
        Plan::TokenChoice {
            experts: experts.swap_dims(0, 1).reshape(shape),
            weights: weights.swap_dims(0, 1).reshape(shape), // (8)
            n_experts: self.sides().iter().product(),
        }
    }

    fn flops_per_unit(&self) -> f64 {
        let keys = self.first_keys.lazy_shape().num_elements()
            + self.second_keys.lazy_shape().num_elements();
        2.0 * (self.query.lazy_shape().num_elements() + keys) as f64
    }
}

impl Peer {
    fn sides(&self) -> [usize; 2] {
        [self.first_keys.lazy_shape()[2], self.second_keys.lazy_shape()[2]]
    }

    /// The experts and weights `[H, T, k]` for scores `[H, T, N]` and `[H, T, N']`.
    fn best(&self, first: Tensor<3>, second: Tensor<3>) -> (Tensor<3, Int>, Tensor<3>) {
        let ([heads, t, _], [n, m], k) = (first.dims(), self.sides(), self.config.k);
        let (k1, k2) = (k.min(n), k.min(m));
        let (i, of_first) = top_k(first, k1); // (5)
        let (j, of_second) = top_k(second, k2);
        let pairs = [heads, t, k1 * k2];
        let s = of_first.unsqueeze_dim::<4>(3) + of_second.unsqueeze_dim::<4>(2); // (6)
        let number = i.unsqueeze_dim::<4>(3) * m as i64 + j.unsqueeze_dim::<4>(2);
        let (best, s) = top_k(s.reshape(pairs), k.min(k1 * k2));
        (number.reshape(pairs).gather(2, best), softmax(s, 2)) // (7)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chosen, close, fill, ints, param, values};

    #[test]
    fn experts_form_a_rectangle() {
        assert_eq!([sides(9), sides(8), sides(7), sides(1)], [[3, 3], [2, 4], [1, 7], [1, 1]]);
    }

    #[test]
    fn a_number_worked_by_hand() {
        let device = Device::flex();
        // Queries are the halves of x; keys are the axes: first scores (1, 0), second (2 ln 2, 0, ln 2).
        let ln2 = 2_f32.ln();
        let peer = Peer {
            query: param(Tensor::eye(5, &device).slice(s![.., 0..4])),
            first_keys: param(Tensor::from_floats([[[1.0, 0.0], [0.0, 1.0]]], &device)),
            second_keys: param(Tensor::from_floats([[[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]]], &device)),
            config: PeerConfig { k: 2, heads: 1, query: 2 },
        };
        let x = Tensor::from_floats([[[1.0, 0.0, 2.0 * ln2, 0.0, 9.0]]], &device);
        let (experts, weights) = chosen(&peer, &mut Pass::eval(), x);
        // (0, 0) with 1 + 2 ln 2 and (0, 2) with 1 + ln 2; the numbers are 0 and 2; weights 2 : 1.
        assert_eq!(experts, [0, 2]);
        close(&weights, &[2.0 / 3.0, 1.0 / 3.0]);
    }

    #[test]
    fn nothing_is_lost_by_not_scoring_all() {
        let config = PeerConfig { k: 3, heads: 1, query: 4 };
        let dims = Dims { width: 4, n_experts: 20, units: 5 };
        let peer = Peer::init(&config, dims, &Init::new(0, &Device::flex()));
        let (first, second) = (fill(1, [1, 5, 4], 1.0), fill(2, [1, 5, 5], 1.0));
        let all = (first.clone().unsqueeze_dim::<4>(3) + second.clone().unsqueeze_dim::<4>(2))
            .reshape([1, 5, 20]);
        let (expected, scores) = top_k(all, 3);
        let (experts, weights) = peer.best(first, second);
        assert_eq!(ints(experts), ints(expected));
        close(&values(weights), &values(softmax(scores, 2)));
    }

    /// The largest gradient of each side's keys, for one unit with k of 8 experts.
    fn key_gradients(seed: u64, k: usize) -> [f32; 2] {
        let on = |seed, shape| Tensor::<3>::from_inner(fill(seed, shape, 2.0));
        let peer = Peer {
            query: param(on(11, [1, 5, 8]).squeeze_dim(0)),
            first_keys: param(on(12, [1, 4, 2])),
            second_keys: param(on(13, [1, 4, 4])),
            config: PeerConfig { k, heads: 1, query: 4 },
        };
        let plan = peer.route(&mut Pass::eval(), on(seed, [1, 1, 5]));
        let Plan::TokenChoice { weights, .. } = plan else { panic!("units choose") };
        let grads = (weights * on(14, [1, 1, k])).sum().backward();
        [&peer.first_keys, &peer.second_keys].map(|keys| {
            let gradient = values(keys.val().grad(&grads).unwrap());
            gradient.into_iter().fold(0.0, |most, x| x.abs().max(most))
        })
    }

    /// The second-best pair differs from the best one in one half, and weights sum to 1. Checks of one
    /// unit with two choices therefore compare a zero with rounding errors; with all choices they do not.
    #[test]
    fn two_choices_share_a_key_whose_gradient_is_zero() {
        for seed in 1..9 {
            let of = |k| {
                let [a, b] = key_gradients(seed, k);
                a.min(b) / a.max(b)
            };
            assert!(of(2) < 1e-5 && of(8) > 1e-2, "{seed}: {} {}", of(2), of(8));
        }
    }
}
