//! k-sparse optimal transport: units are shipped to experts in equal amounts, each in at most k parts.
//!
//! Liu, Puigcerver, Blondel. *Sparsity-constrained Optimal Transport*. ICLR 2023.
//! <https://arxiv.org/abs/2209.15466>
//!
//! p = softmax(x W)                                                         (1)
//! T = argmax over plans of <T, p> - |T|^2 / 2, with
//!     sum_e T_ue = 1,  sum_u T_ue = U / E,  at most k of each T_u above 0  (7), by its semi-dual:
//! T_u = P_k(a + p_u)                                                       (12)
//! a minimises sum_u max_k(a + p_u) - <a, U / E>, with the gradient sum_u T_u - U / E
//! S_u = where T_u is above 0,  g = p                                       section 6.2
//!
//! P_k is the projection onto the simplex with at most k numbers above 0: the k largest are shifted so
//! that they sum to 1, and negative ones are set to 0 (Kyrillidis et al. 2013). a has one number for each
//! expert, a price that falls if too many units choose the expert; it starts at 0 and is updated by
//! `steps` steps of Adam. The plan determines the expert of each unit; gradients flow through the weights.
//!
//! Transport is between the units of a group and the experts, in training and in evaluation, so that the
//! experts of a unit depend on later units: not for decoders.
//!
//! Differs from the paper: where the paper gives no details, the published code is followed: Adam with the
//! rate 0.01 for 20 steps, or until the norm of the gradient is at most 0.001; capacity is the layer's.
//!
//! Not to be confused with: `sinkhorn`, whose transport is smooth, so that all shares are above 0, and
//! whose weights come from the same scores; `base`, the assignment of one expert to each unit.

use burn::{module::Module, prelude::*};
use moe::{Dims, Init, Pass, Plan, Router, config, read_back, softmax};

use crate::kit::{Gate, check};

config! {
    /// The number of experts per unit, and the iterations of the dual prices.
    pub struct SparseTransportConfig {
        /// Experts for each unit, at most.
        pub k: usize = 2,
        /// The number of steps of the optimization of the prices.
        pub steps: usize = 20,
        /// The learning rate of Adam.
        pub rate: f64 = 0.01,
    }
}

/// Units are shipped to experts in equal amounts.
#[derive(Module, Debug)]
pub struct SparseTransport {
    gate: Gate,
    #[module(skip)]
    config: SparseTransportConfig,
}

impl Router for SparseTransport {
    type Config = SparseTransportConfig;
    const NAME: &'static str = "sparse-transport";
    const ABOUT: &'static str = "optimal transport in equal amounts, each unit in k parts";
    const PAPER: &'static str = "https://arxiv.org/abs/2209.15466";
    const CAUSAL: bool = false;

    fn check(config: &SparseTransportConfig, dims: Dims) -> Result<(), String> {
        check::k(config.k, dims)?;
        check::positive("rate", config.rate)
    }

    fn init(config: &SparseTransportConfig, dims: Dims, init: &Init) -> Self {
        Self { gate: Gate::new(dims, init), config: config.clone() }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let p = softmax(self.gate.forward(pass, units), 2); // (1)
        let [g, u, e] = p.dims();
        let k = self.config.k;
        let gains: Vec<f64> = read_back(p.clone().detach()).iter::<f64>().collect();
        let experts: Vec<i32> = gains
            .chunks((u * e).max(1))
            .flat_map(|gains| transport(gains, e, &self.config))
            .flat_map(|shares| chosen(&shares, k, e))
            .collect();
        let device = p.device().inner();
        let experts = Tensor::<3, Int>::from_data(TensorData::new(experts, [g, u, k]), &device);
        let null = experts.clone().equal_scalar(e as i64);
        let weights = p.gather(2, experts.clone().mask_fill(null.clone(), 0));
        Plan::TokenChoice { experts, weights: weights.mask_fill(null, 0.0), n_experts: e }
    }

    fn flops_per_unit(&self) -> f64 {
        // The scores, and a sum and a comparison for each expert and step.
        let e = self.gate.weight.lazy_shape()[1];
        self.gate.flops() + (2 * e * (self.config.steps + 1)) as f64
    }
}

/// The plan T of one group, `[U, E]`, for gains of the same shape.
fn transport(gains: &[f64], e: usize, config: &SparseTransportConfig) -> Vec<Vec<f64>> {
    const ENOUGH: f64 = 1e-3;
    let even = gains.len() as f64 / (e * e) as f64; // U / E
    let mut prices = Adam::new(e, config.rate);
    for _ in 0..config.steps {
        let mut gradient = vec![-even; e];
        for shares in shipped(gains, &prices.at, config.k) {
            gradient.iter_mut().zip(shares).for_each(|(sum, share)| *sum += share);
        }
        prices.step(&gradient);
        // The published code stops after the first step with a short gradient.
        if gradient.iter().map(|g| g * g).sum::<f64>().sqrt() <= ENOUGH {
            break;
        }
    }
    shipped(gains, &prices.at, config.k).collect()
}

/// The shares of each unit, by (12).
fn shipped(gains: &[f64], prices: &[f64], k: usize) -> impl Iterator<Item = Vec<f64>> {
    gains.chunks(prices.len()).map(move |gains| {
        let scores: Vec<f64> = gains.iter().zip(prices).map(|(gain, price)| gain + price).collect();
        project(&scores, k)
    })
}

/// P_k: the nearest point of the simplex with at most k numbers above 0.
fn project(scores: &[f64], k: usize) -> Vec<f64> {
    let best = best(scores, k);
    // The shift with which the first n numbers sum to 1, for the largest n whose n-th number is positive.
    let (mut sum, mut shift) = (0.0, 0.0);
    for (n, expert) in best.iter().enumerate() {
        sum += scores[*expert];
        let candidate = (sum - 1.0) / (n + 1) as f64;
        if scores[*expert] > candidate {
            shift = candidate;
        }
    }
    let mut shares = vec![0.0; scores.len()];
    best.iter().for_each(|expert| shares[*expert] = (scores[*expert] - shift).max(0.0));
    shares
}

/// The experts with a share above 0, the largest first; then the null expert.
fn chosen(shares: &[f64], k: usize, e: usize) -> Vec<i32> {
    let expert = |expert: usize| if shares[expert] > 0.0 { expert } else { e };
    best(shares, k).into_iter().map(|best| expert(best) as i32).collect()
}

/// The indices of the k largest numbers, largest first; ties keep their order.
fn best(numbers: &[f64], k: usize) -> Vec<usize> {
    let mut best: Vec<usize> = Vec::with_capacity(k + 1);
    for (at, number) in numbers.iter().enumerate() {
        let place = best.iter().position(|other| *number > numbers[*other]).unwrap_or(best.len());
        if place < k {
            best.insert(place, at);
            best.truncate(k);
        }
    }
    best
}

/// Kingma, Ba. *Adam*. ICLR 2015. <https://arxiv.org/abs/1412.6980>, algorithm 1.
struct Adam {
    at: Vec<f64>,
    first: Vec<f64>,
    second: Vec<f64>,
    rate: f64,
    steps: i32,
}

impl Adam {
    fn new(n: usize, rate: f64) -> Self {
        let zeros = || vec![0.0; n];
        Self { at: zeros(), first: zeros(), second: zeros(), rate, steps: 0 }
    }

    fn step(&mut self, gradient: &[f64]) {
        const BETAS: (f64, f64) = (0.9, 0.999);
        self.steps += 1;
        let unbias = (1.0 - BETAS.0.powi(self.steps), 1.0 - BETAS.1.powi(self.steps));
        for (i, g) in gradient.iter().enumerate() {
            self.first[i] = BETAS.0 * self.first[i] + (1.0 - BETAS.0) * g;
            self.second[i] = BETAS.1 * self.second[i] + (1.0 - BETAS.1) * g * g;
            let (first, second) = (self.first[i] / unbias.0, self.second[i] / unbias.1);
            self.at[i] -= self.rate * first / (second.sqrt() + 1e-8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: &[f64], expected: &[f64]) {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?}");
    }

    #[test]
    fn the_nearest_point_of_the_simplex_with_few_parts() {
        // (0.8 + 0.4 - 1) / 2 = 0.1: 0.7 and 0.3.
        near(&project(&[0.1, 0.8, 0.4], 2), &[0.0, 0.7, 0.3]);
        // With one part, the whole share is that of the largest score.
        near(&project(&[0.1, 0.8, 0.4], 1), &[0.0, 1.0, 0.0]);
        // The second is too far below the first: (3 + 0.5 - 1) / 2 = 1.25 would make it negative.
        near(&project(&[3.0, 0.5, 0.4], 2), &[1.0, 0.0, 0.0]);
        near(&project(&[-2.0, -2.0], 2), &[0.5, 0.5]);
    }

    #[test]
    fn prices_even_out_what_everyone_wants() {
        // All four units have the largest gain at expert 0, the last one by the smallest margin.
        let gains = [0.6, 0.4, 0.58, 0.42, 0.56, 0.44, 0.52, 0.48];
        let config = SparseTransportConfig { k: 1, steps: 200, rate: 0.01 };
        let plan = transport(&gains, 2, &config);
        let first: f64 = plan.iter().map(|shares| shares[0]).sum();
        assert_eq!(first, 2.0, "{plan:?}");
        assert_eq!((plan[0][0], plan[1][0]), (1.0, 1.0));
        // Without any step every unit goes to the expert with the largest gain.
        let greedy = transport(&gains, 2, &SparseTransportConfig { steps: 0, ..config });
        assert!(greedy.iter().all(|shares| shares[0] == 1.0));
    }

    #[test]
    fn the_first_of_equals_is_better() {
        assert_eq!(best(&[0.5, 0.7, 0.5, 0.7, 0.1], 3), [1, 3, 0]);
        assert_eq!(best(&[0.1, 0.2], 2), [1, 0]);
    }

    #[test]
    fn a_share_of_nothing_is_no_choice() {
        assert_eq!(chosen(&[0.0, 1.0, 0.0], 2, 3), [1, 3]);
        assert_eq!(chosen(&[0.3, 0.0, 0.7], 2, 3), [2, 0]);
    }

    #[test]
    fn adam_goes_its_rate_at_first() {
        let mut adam = Adam::new(2, 0.01);
        adam.step(&[5.0, -0.1]);
        assert!((adam.at[0] + 0.01).abs() < 1e-9 && (adam.at[1] - 0.01).abs() < 1e-6);
    }
}
