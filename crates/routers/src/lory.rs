//! Lory: one expert is merged for each segment of a sequence, with weights from the previous segment.
//!
//! Zhong, Xia, Chen, Lewis. *Lory: Fully Differentiable Mixture-of-Experts for Autoregressive Language
//! Model Pre-training*. COLM 2024. <https://arxiv.org/abs/2405.03133>, section 3.
//!
//! e_k = softmax(mean of the units of segment k - 1, times W)               (3)
//! theta_k = sum_i e_ki theta_i                                             (2)
//! y = FFN(x; theta_k) for all units x of segment k
//!
//! Parameters are mixed, not outputs: each unit costs one expert, and each segment the mixing. The method
//! is fully differentiable, drops no unit and requires no loss.
//!
//! The first segment has no previous one. With `first = "own"`, as in the paper, it is routed by its own
//! mean, through which no gradient flows. Its units then depend on later ones, so this is not for
//! decoders. With `first = "even"`, all experts have equal shares, and a unit depends on no later one.
//!
//! Differs from the paper: segments have 16 units, not 256, since sequences here are short. Batching of
//! similar documents is left to the task. In decoding the paper routes once, by the prompt.
//!
//! Not to be confused with: `smear`, which merges once for a whole example; `dense`, which mixes outputs,
//! so that every expert processes every unit.

use burn::{module::Module, prelude::*};
use moe::{Dims, Init, Pass, Plan, Router, config, softmax};
use serde::{Deserialize, Serialize};

use crate::kit::Gate;

/// The routing of the first segment of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum First {
    /// By its own mean, without a gradient.
    Own,
    /// Not routed: all experts have equal shares.
    Even,
}

config! {
    /// The length of segments.
    pub struct LoryConfig {
        /// Units of a segment.
        pub segment: usize = 16,
        /// The routing of the first segment.
        pub first: First = First::Own,
    }
}

/// An expert for each segment, merged by the previous segment.
#[derive(Module, Debug)]
pub struct Lory {
    gate: Gate,
    #[module(skip)]
    config: LoryConfig,
}

impl Router for Lory {
    type Config = LoryConfig;
    const NAME: &'static str = "lory";
    const ABOUT: &'static str =
        "one merged expert for each segment, with weights from the previous segment";
    const PAPER: &'static str = "https://arxiv.org/abs/2405.03133";
    const CAUSAL: bool = false;
    const UNIT_PERMUTATION_EQUIVARIANT: bool = false;
    const MERGES: bool = true;

    fn causal(config: &LoryConfig) -> bool {
        config.first == First::Even
    }

    fn check(config: &LoryConfig, _dims: Dims) -> Result<(), String> {
        match config.segment {
            0 => Err("segment = 0: must be at least 1".into()),
            _ => Ok(()),
        }
    }

    fn init(config: &LoryConfig, dims: Dims, init: &Init) -> Self {
        Self { gate: Gate::new(dims, init), config: config.clone() }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let ([g, u, d], segment) = (units.dims(), self.config.segment);
        let first = units.clone().narrow(1, 0, segment.min(u)).mean_dim(1);
        let first = match self.config.first {
            First::Own => first.detach(),
            First::Even => first.zeros_like(),
        };
        // Only complete segments have a segment after them.
        let before = (u.div_ceil(segment) - 1) * segment;
        let means = match before {
            0 => first,
            _ => {
                let whole = units.narrow(1, 0, before);
                let means = whole.reshape([g, before / segment, segment, d]).mean_dim(2);
                Tensor::cat(vec![first, means.squeeze_dim::<3>(2)], 1)
            }
        };
        let weights = softmax(self.gate.forward(pass, means), 2); // (3)
        Plan::Merged { weights, n_units: u, segment }
    }

    fn flops_per_unit(&self) -> f64 {
        // Scores are computed for segments; each unit contributes to one mean.
        let [d, _] = self.gate.weight.lazy_shape().dims();
        self.gate.flops() / self.config.segment as f64 + d as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, values};

    fn weights(first: First, units: &[f32]) -> Vec<f32> {
        let device = Device::flex();
        let gate = Gate::of(Tensor::from_floats([[3_f32.ln(), 0.0]], &device));
        let router = Lory { gate, config: LoryConfig { segment: 2, first } };
        let data = TensorData::new(units.to_vec(), [1, units.len(), 1]);
        let plan = router.route(&mut Pass::eval(), Tensor::from_data(data, &device));
        let Plan::Merged { weights, n_units, segment } = plan else { panic!("it merges") };
        assert_eq!((n_units, segment), (units.len(), 2));
        values(weights)
    }

    #[test]
    fn each_segment_is_routed_by_the_one_before() {
        // Means 1 and 2 of the whole segments: 3^1 and 3^2 to 1.
        let units = [0.5, 1.5, 2.0, 2.0, 7.0];
        close(&weights(First::Own, &units), &[0.75, 0.25, 0.75, 0.25, 0.9, 0.1]);
        close(&weights(First::Even, &units), &[0.5, 0.5, 0.75, 0.25, 0.9, 0.1]);
        close(&weights(First::Own, &[2.0]), &[0.9, 0.1]);
        close(&weights(First::Own, &[1.0, 1.0]), &[0.75, 0.25]);
    }

    #[test]
    fn the_first_segment_gives_its_units_no_gradient() {
        let device = Device::flex().autodiff();
        let dims = Dims { width: 3, n_experts: 4, units: 4 };
        let config = LoryConfig { segment: 2, ..LoryConfig::default() };
        let router = Lory::init(&config, dims, &Init::new(0, &device));
        let x = Init::new(1, &device).normal("x", [1, 4, 3], 1.0).val();
        let plan = router.route(&mut Pass::eval(), x.clone());
        let Plan::Merged { weights, .. } = plan else { panic!("it merges") };
        let first = weights.narrow(1, 0, 1).slice(s![.., .., 0]).sum();
        let gradient = x.grad(&first.backward());
        assert!(gradient.is_none_or(|g| values(g).iter().all(|g| *g == 0.0)));
    }

    #[test]
    fn segments_have_units() {
        let dims = Dims { width: 3, n_experts: 4, units: 4 };
        let none = LoryConfig { segment: 0, ..LoryConfig::default() };
        assert!(Lory::check(&none, dims).unwrap_err().contains("segment = 0"));
    }
}
