//! HyperRouter: the gate's weights come from a fixed random network; only its input is learned.
//!
//! Do et al. *HyperRouter: Towards Efficient Training and Inference of Sparse Mixture of Experts via
//! Hypernetwork*. EMNLP 2023. <https://arxiv.org/abs/2312.07035>
//!
//! W, b = H(z) = ReLU(z A + a) B + c            (4), A, a, B, c fixed, z learned
//! s = x W + b                                  (5)
//! g = softmax(s over S), S = top-k(s)          (6)
//!
//! Between a frozen gate and a free one: the gate is learned, but in few directions. A, a, B and c are
//! saved with the network and not trained. There is no balance loss.
//!
//! `faithful = "reference"` is the fixed network of LibMoE's Hyper-R: small matrices, N(0, 0.02), and no
//! biases, so that scores are small at first.
//!
//! Differs from the paper: k starts at 2. The paper's k grows from 1 to 2 during training; at k = 1 the
//! weight is always 1 and z gets no gradient. `k_first = 1` is the paper's setting.
//!
//! Not to be confused with: `frozen`, where nothing is learned.

use burn::{
    module::{Module, Param, RunningState},
    prelude::*,
    tensor::activation::relu,
};
use moe::{Dims, Init, Pass, Plan, Router, config, matmul, softmax};

use crate::kit::{Faithful, check, scores};

config! {
    /// The number of experts per unit.
    pub struct HyperRouterConfig {
        /// Experts for each unit at the end of training.
        pub k: usize = 2,
        /// Experts for each unit at the start of training; in between, the number grows linearly.
        pub k_first: usize = 2,
        /// The variant of the fixed network.
        pub faithful: Faithful = Faithful::Paper,
    }
}

/// A gate from a fixed network.
#[derive(Module, Debug)]
pub struct HyperRouter {
    /// `[1, D]`: z.
    embedding: Param<Tensor<2>>,
    /// `[D, D / 4]` and `[1, D / 4]`: A and a.
    first: RunningState<Tensor<2>>,
    first_bias: RunningState<Tensor<2>>,
    /// `[D / 4, E (D + 1)]` and `[1, E (D + 1)]`: B and c. For each expert in turn, its vector and its
    /// bias.
    second: RunningState<Tensor<2>>,
    second_bias: RunningState<Tensor<2>>,
    n_experts: usize,
    #[module(skip)]
    config: HyperRouterConfig,
}

impl Router for HyperRouter {
    type Config = HyperRouterConfig;
    const NAME: &'static str = "hyper-router";
    const ABOUT: &'static str = "top-k of a gate that a fixed random network makes";
    const PAPER: &'static str = "https://arxiv.org/abs/2312.07035";

    fn check(config: &HyperRouterConfig, dims: Dims) -> Result<(), String> {
        check::k(config.k, dims)?;
        match config.k_first {
            0 => Err("k_first = 0: a unit visits at least 1 expert".into()),
            first if first > config.k => {
                Err(format!("k_first = {first} is larger than k = {}", config.k))
            }
            _ => check::gate_learns(config.k, true, dims, "k must be at least 2"),
        }
    }

    fn init(config: &HyperRouterConfig, dims: Dims, init: &Init) -> Self {
        let (d, e) = (dims.width, dims.n_experts);
        let hidden = (d / 4).max(1);
        let frozen = |name: &str, shape, std: f64| {
            init.state(name, init.normal(name, shape, std).val().detach().inner())
        };
        let spread = |d_in: usize| 1.0 / (d_in as f64).sqrt();
        // The deviations of A and of B, and the factor from these to the deviations of a and c.
        let (first, second, biases) = match config.faithful {
            Faithful::Paper => (spread(d), spread(hidden), 1.0),
            Faithful::Reference => (0.02, 0.02, 0.0),
        };
        Self {
            embedding: init.normal("embedding", [1, d], 1.0),
            first: frozen("first", [d, hidden], first),
            first_bias: frozen("first_bias", [1, hidden], first * biases),
            second: frozen("second", [hidden, e * (d + 1)], second),
            second_bias: frozen("second_bias", [1, e * (d + 1)], second * biases),
            n_experts: e,
            config: config.clone(),
        }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let [g, u, d] = units.dims();
        let (weight, bias) = self.gate(d); // (4)
        let s = (matmul(units.reshape([g * u, d]), weight) + bias).reshape([g, u, self.n_experts]); // (5)
        let s = scores::settle(pass, s);
        let k = self.k(pass.progress());
        let (experts, chosen) = scores::choose(pass, s, k);
        Plan::TokenChoice { experts, weights: softmax(chosen, 2), n_experts: self.n_experts } // (6)
    }

    fn flops_per_unit(&self) -> f64 {
        // The gate is computed once for each pass, not for each unit.
        let d = self.embedding.lazy_shape()[1];
        2.0 * (d * self.n_experts) as f64
    }
}

impl HyperRouter {
    /// `[D, E]` and `[1, E]`.
    fn gate(&self, d: usize) -> (Tensor<2>, Tensor<2>) {
        let value = |state: &RunningState<Tensor<2>>| state.value_sync().detach();
        let hidden = matmul(self.embedding.val(), value(&self.first)) + value(&self.first_bias);
        let rows = matmul(relu(hidden), value(&self.second)) + value(&self.second_bias);
        let rows = rows.reshape([self.n_experts, d + 1]);
        (rows.clone().narrow(1, 0, d).transpose(), rows.narrow(1, d, 1).transpose())
    }

    fn k(&self, progress: f64) -> usize {
        let (first, last) = (self.config.k_first as f64, self.config.k as f64);
        ((last - first) * progress + first).round() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chosen, close, fill, param, values};

    fn router() -> HyperRouter {
        let state = |value: Tensor<2>| RunningState::new(value);
        // Matrices are stored as [out, in] by the published code.
        HyperRouter {
            embedding: param(fill(232, [1, 4], 2.0)),
            first: state(fill(233, [1, 4], 1.0).transpose()),
            first_bias: state(fill(234, [1, 1], 1.0) + 1.0),
            second: state(fill(235, [15, 1], 1.0).transpose()),
            second_bias: state(fill(236, [1, 15], 1.0)),
            n_experts: 3,
            config: HyperRouterConfig { k: 2, k_first: 1, ..HyperRouterConfig::default() },
        }
    }

    #[test]
    fn libmoe_gives_the_same() {
        // LibMoE's Hyper-R layer was run on these inputs.
        let router = router();
        let (weight, bias) = router.gate(4);
        close(&values(weight.transpose())[..4], &[0.189435, 0.240575, 0.220437, 0.437293]);
        close(&values(bias), &[0.307469, 0.425062, 0.047483]);
        let (experts, _) = chosen(&router, &mut Pass::eval(), fill(200, [1, 3, 4], 2.0));
        assert_eq!(experts[..2], [1, 2]);
    }

    #[test]
    fn the_network_of_libmoe_is_small() {
        let dims = Dims { width: 64, n_experts: 8, units: 3 };
        let config = HyperRouterConfig { faithful: Faithful::Reference, ..Default::default() };
        let router = HyperRouter::init(&config, dims, &Init::new(0, &Device::flex()));
        assert!(values(router.first_bias.value_sync()).iter().all(|b| *b == 0.0));
        let first = values(router.first.value_sync());
        let square = first.iter().map(|x| x * x).sum::<f32>() / first.len() as f32;
        assert!((square.sqrt() - 0.02).abs() < 0.002, "{square}");
    }

    #[test]
    fn k_grows_with_the_progress_of_training() {
        let router = router();
        let k = |progress| {
            let mut pass = Pass::train(0, 0, progress);
            chosen(&router, &mut pass, fill(200, [1, 1, 4], 2.0)).0.len()
        };
        assert_eq!((k(0.0), k(0.49), k(0.51), k(1.0)), (1, 1, 2, 2));
    }

    #[test]
    fn only_the_embedding_is_trained() {
        let dims = Dims { width: 8, n_experts: 4, units: 3 };
        let init = Init::new(0, &Device::flex().autodiff());
        let router = HyperRouter::init(&HyperRouterConfig::default(), dims, &init);
        assert_eq!(crate::conformance::trained(&router), ["embedding"]);
    }
}
