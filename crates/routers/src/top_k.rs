//! Top-k routing: each unit goes to the k experts with the largest scores.
//!
//! Shazeer et al. *Outrageously Large Neural Networks*. ICLR 2017. <https://arxiv.org/abs/1701.06538>
//! Riquelme et al. *V-MoE*. NeurIPS 2021. <https://arxiv.org/abs/2106.05974>
//! Jiang et al. *Mixtral of Experts*. 2024. <https://arxiv.org/abs/2401.04088>
//!
//! s = x W                                      (1)
//! p = softmax(s)                               (2)
//! S = top-k(s)                                 (3)
//! y = sum_{i in S} g_i E_i(x)                  (4)
//! g_i = p_i                                    (5a) `softmax`: V-MoE, OLMoE, Qwen2
//! g_i = p_i / sum_{j in S} p_j                 (5b) `renormalised`: Mixtral, Qwen3
//! g   = softmax(s over S)                      (5c) `top-k-softmax`: Shazeer, GPT-OSS, Granite
//!
//! (5b) and (5c) are the same function; both are here because descriptions of checkpoints use either, and
//! a test checks that they agree. With k = 1 both give the constant 1, so that the gate would learn
//! nothing from the task; this is refused, unless there is only one expert.
//!
//! `bias = true`: s = x W + b, as in the gates of FastMoE, AutoMoE and MomentumSMoE; b is 0 at first.
//!
//! Differs from the papers: no noise (see the noisy routers); capacity is the layer's.
//!
//! Not to be confused with: `switch`, which is k = 1 with (5a) and jitter.

use burn::{module::Module, prelude::*};
use moe::{Dims, Init, Pass, Plan, Router, config, softmax};
use serde::{Deserialize, Serialize};

use crate::kit::{Balance, BalanceLoss, Gate, check, losses, scores};

/// The weights of the chosen experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weights {
    /// Softmax over all experts; the weights of the chosen experts sum to less than 1.
    Softmax,
    /// Softmax over all experts, divided by the sum over the chosen experts.
    Renormalised,
    /// Softmax over the chosen experts alone.
    TopKSoftmax,
}

config! {
    /// The number of experts per unit, and load balancing.
    pub struct TopKConfig {
        /// Experts for each unit.
        pub k: usize = 2,
        /// The weights of the chosen experts.
        pub weights: Weights = Weights::Renormalised,
        /// Whether the gate has a bias, which is 0 at first.
        pub bias: bool = false,
        /// Coefficient of the balance loss.
        pub balance: f64 = 0.01,
        /// The balance loss.
        pub balance_of: Balance = Balance::Choices,
        /// Coefficient of the router z-loss.
        pub z: f64 = 0.0,
        /// A factor on the gate's initial weights, and thus on the magnitude of the initial scores.
        pub start: f64 = 1.0,
    }
}

/// Each unit goes to its k best experts.
#[derive(Module, Debug)]
pub struct TopK {
    gate: Gate,
    balance: BalanceLoss,
    #[module(skip)]
    config: TopKConfig,
}

impl Router for TopK {
    type Config = TopKConfig;
    const NAME: &'static str = "top-k";
    const ABOUT: &'static str = "each unit goes to the k experts with the largest scores";
    const PAPER: &'static str = "https://arxiv.org/abs/2401.04088";

    fn check(config: &TopKConfig, dims: Dims) -> Result<(), String> {
        check::k(config.k, dims)?;
        check::coefficient("balance", config.balance)?;
        check::coefficient("z", config.z)?;
        check::positive("start", config.start)?;
        let constant = config.weights != Weights::Softmax;
        check::gate_learns(
            config.k,
            constant,
            dims,
            "set weights = \"softmax\", or k to at least 2",
        )
    }

    fn init(config: &TopKConfig, dims: Dims, init: &Init) -> Self {
        Self {
            gate: Gate::scaled(dims, init, config.start).with_bias(config.bias, dims, init),
            balance: BalanceLoss::new(config.balance_of, dims, init),
            config: config.clone(),
        }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let s = self.gate.forward(pass, units); // (1)
        let n_experts = s.dims()[2];
        let p = softmax(s.clone(), 2); // (2)
        let experts = scores::best(pass, s.clone(), self.config.k); // (3)
        let weights = match self.config.weights {
            Weights::Softmax => p.clone().gather(2, experts.clone()), // (5a)
            // If the best experts are skipped, the sum of the others may underflow.
            Weights::Renormalised if !scores::skips(pass) => {
                let g = p.clone().gather(2, experts.clone());
                g.clone() / g.sum_dim(2) // (5b)
            }
            _ => softmax(s.clone().gather(2, experts.clone()), 2), // (5c)
        };
        self.balance.add(pass, self.config.balance, p, experts.clone());
        losses::add(pass, "z", self.config.z, || losses::router_z(s));
        Plan::TokenChoice { experts, weights, n_experts } // (4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One unit, x = 1, with p = (1, 4, 2, 1) / 8.
    fn route(config: TopKConfig) -> (Vec<i32>, Vec<f32>, Pass) {
        let device = Device::flex();
        let s = [[1_f32, 4.0, 2.0, 1.0].map(f32::ln)];
        let (dims, init) = (Dims { width: 1, n_experts: 4, units: 1 }, Init::new(0, &device));
        let gate = Gate::of(Tensor::from_floats(s, &device));
        let router = TopK { gate, ..TopK::init(&config, dims, &init) };
        let mut pass = Pass::eval();
        let Plan::TokenChoice { experts, weights, .. } =
            router.route(&mut pass, Tensor::ones([1, 1, 1], &device))
        else {
            panic!("units choose")
        };
        (experts.into_data().try_to_vec().unwrap(), weights.into_data().try_to_vec().unwrap(), pass)
    }

    fn close(found: &[f32], expected: [f32; 2]) {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    }

    #[test]
    fn the_two_best_with_each_weighting() {
        let with = |weights| route(TopKConfig { weights, ..TopKConfig::default() });
        let (experts, weights, _) = with(Weights::Softmax);
        assert_eq!(experts, [1, 2]);
        close(&weights, [0.5, 0.25]); // 4/8, 2/8
        close(&with(Weights::Renormalised).1, [2.0 / 3.0, 1.0 / 3.0]);
        close(&with(Weights::TopKSoftmax).1, [2.0 / 3.0, 1.0 / 3.0]);
    }

    #[test]
    fn the_gate_of_ling_gives_the_same() {
        use crate::testing::{chosen, fill};
        // The published class was run on these inputs; its matrix is [out, in].
        let gate = Gate::of(fill::<2>(230, [4, 4], 2.0).transpose());
        let (dims, init) =
            (Dims { width: 4, n_experts: 4, units: 3 }, Init::new(0, &Device::flex()));
        let router = TopK { gate, ..TopK::init(&TopKConfig::default(), dims, &init) };
        let (experts, weights) = chosen(&router, &mut Pass::eval(), fill(200, [1, 3, 4], 2.0));
        assert_eq!(experts[..2], [1, 2]);
        crate::testing::close(&weights[..2], &[0.595930, 0.404070]);
    }

    #[test]
    fn a_small_start_chooses_alike_with_nearly_equal_weights() {
        let dims = Dims { width: 4, n_experts: 4, units: 3 };
        let route = |start| {
            let config = TopKConfig { start, ..TopKConfig::default() };
            let router = TopK::init(&config, dims, &Init::new(0, &Device::flex()));
            crate::testing::chosen(
                &router,
                &mut Pass::eval(),
                crate::testing::fill(200, [1, 3, 4], 2.0),
            )
        };
        let (usual, small) = (route(1.0), route(1e-3));
        assert_eq!(usual.0, small.0);
        assert!(small.1.iter().all(|w| (w - 0.5).abs() < 1e-2), "{:?}", small.1);
        assert!(usual.1.iter().any(|w| (w - 0.5).abs() > 2e-2), "{:?}", usual.1);
    }

    #[test]
    fn losses_are_weighted_and_named() {
        let (.., pass) = route(TopKConfig { balance: 0.1, z: 0.01, ..TopKConfig::default() });
        let scalars = pass.scalars();
        // f = (0, 1/2, 1/2, 0), P = p: 4 * (1/2 * 4/8 + 1/2 * 2/8) = 1.5. z = (ln 8)^2 = 4.3240771.
        assert_eq!((scalars[0].0.as_str(), scalars[1].0.as_str()), ("balance", "z"));
        assert!((scalars[0].1 - 0.15).abs() < 1e-6, "{scalars:?}");
        assert!((scalars[1].1 - 0.043240771).abs() < 1e-6, "{scalars:?}");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let dims = Dims { width: 4, n_experts: 8, units: 6 };
        let check = |config| TopK::check(&config, dims).unwrap_err();
        let config = TopKConfig::default();
        assert_eq!(check(TopKConfig { k: 9, ..config }), "k = 9 is larger than experts = 8");
        assert!(check(TopKConfig { balance: -1.0, ..config }).contains("balance = -1"));
        assert!(check(TopKConfig { k: 1, ..config }).contains("no gradient from the task"));
    }
}
