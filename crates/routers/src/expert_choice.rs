//! Expert choice: each expert takes its best units.
//!
//! Zhou et al. *Mixture-of-Experts with Expert Choice Routing*. NeurIPS 2022.
//! <https://arxiv.org/abs/2202.09368>
//!
//! k    = n c / e                               (1), n units, e experts, c the factor
//! S    = softmax(X W)                          (2)
//! G, I = TopK(S^T, k)                          (2)
//!
//! Every expert has the same work by construction, so there is no balance loss. A unit may be taken by
//! several experts or by none. An expert's choice depends on the whole group: not for decoders.
//!
//! Differs from the paper: k is rounded up; units compete within their group, not over the batch;
//! no bound on the experts of one unit (the paper's section 3.3).
//!
//! Not to be confused with: `top-k` with a capacity, where units choose and overflow is dropped.

use burn::{module::Module, prelude::*};
use moe::{Dims, Init, Pass, Plan, Router, config, round_up, softmax, top_k};

use crate::kit::{Gate, check};

config! {
    /// The capacity of an expert.
    pub struct ExpertChoiceConfig {
        /// Experts for each unit on average, c.
        pub factor: f64 = 2.0,
    }
}

/// Each expert takes its best units.
#[derive(Module, Debug)]
pub struct ExpertChoice {
    gate: Gate,
    factor: f64,
}

impl Router for ExpertChoice {
    type Config = ExpertChoiceConfig;
    const NAME: &'static str = "expert-choice";
    const ABOUT: &'static str = "each expert takes its best units";
    const PAPER: &'static str = "https://arxiv.org/abs/2202.09368";
    const CAUSAL: bool = false;

    fn check(config: &ExpertChoiceConfig, dims: Dims) -> Result<(), String> {
        check::factor(config.factor, dims)
    }

    fn init(config: &ExpertChoiceConfig, dims: Dims, init: &Init) -> Self {
        Self { gate: Gate::new(dims, init), factor: config.factor }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let s = softmax(self.gate.forward(pass, units), 2); // (2)
        let [_, n_units, e] = s.dims();
        let k = round_up(n_units as f64 * self.factor / e as f64); // (1)
        let (units, weights) = top_k(s.swap_dims(1, 2), k.clamp(1, n_units)); // (2)
        Plan::ExpertChoice { units, weights, n_units }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(s: [[f32; 2]; 4], factor: f64) -> (Tensor<3, Int>, Tensor<3>) {
        let device = Device::flex();
        // Rows of the gate are the scores of the units, since the units are the rows of the identity.
        let gate = Gate::of(Tensor::from_floats(s, &device));
        let units = Tensor::<2>::eye(4, &device).unsqueeze::<3>();
        let plan = ExpertChoice { gate, factor }.route(&mut Pass::eval(), units);
        let Plan::ExpertChoice { units, weights, .. } = plan else { panic!("experts choose") };
        (units, weights)
    }

    #[test]
    fn a_number_worked_by_hand() {
        // p of expert 0: 1/2, 1/4, 1/8, 3/4; of expert 1: 1/2, 3/4, 7/8, 1/4. k = 4 * 1 / 2 = 2.
        let odds = [[1.0, 1.0], [1.0, 3.0], [1.0, 7.0], [3.0, 1.0_f32]];
        let (units, weights) = route(odds.map(|row| row.map(f32::ln)), 1.0);
        assert_eq!(units.into_data().try_to_vec::<i32>().unwrap(), [3, 0, 2, 1]);
        let weights = weights.into_data().try_to_vec::<f32>().unwrap();
        let expected = [0.75, 0.5, 0.875, 0.75];
        assert!(weights.iter().zip(expected).all(|(w, x)| (w - x).abs() < 1e-6), "{weights:?}");
    }

    #[test]
    fn the_formulas_in_double_precision_give_the_same() {
        let gate = Gate::of(Tensor::eye(2, &Device::flex())); // scores are the units
        let units = crate::testing::fill(370, [1, 4, 2], 4.0);
        let plan = ExpertChoice { gate, factor: 1.0 }.route(&mut Pass::eval(), units);
        let Plan::ExpertChoice { units, weights, .. } = plan else { panic!("experts choose") };
        assert_eq!(crate::testing::ints(units)[..2], [3, 0]);
        crate::testing::close(&crate::testing::values(weights)[..2], &[0.640219, 0.558391]);
    }

    #[test]
    fn as_many_units_are_served_as_by_the_published_code() {
        use crate::testing::{fill, ints};
        // google-research/vmoe was run on 12 units with given noise, three for each of four experts: no
        // unit has more than two, and three quarters have one.
        let h = fill::<2>(1, [12, 6], 2.0).matmul(fill(2, [6, 4], 2.0)) + fill(3, [12, 4], 1.0);
        let router = ExpertChoice { gate: Gate::of(Tensor::eye(4, &Device::flex())), factor: 1.0 };
        let plan = router.route(&mut Pass::eval(), h.unsqueeze::<3>());
        let Plan::ExpertChoice { units, .. } = plan else { panic!("experts choose") };
        assert_eq!(units.dims(), [1, 4, 3]);
        let mut served = [0; 12];
        ints(units).into_iter().for_each(|unit| served[unit as usize] += 1);
        assert_eq!((served.iter().max(), served.iter().min()), (Some(&2), Some(&0)));
        assert_eq!(served.iter().filter(|n| **n > 0).count(), 9);
    }

    #[test]
    fn every_expert_takes_exactly_k_units() {
        // All units prefer expert 0; both experts take ceil(4 * 1.4 / 2) = 3 different units.
        let (units, _) = route([[5.0, 0.0], [4.0, 0.0], [3.0, 0.0], [2.0, 0.0]], 1.4);
        assert_eq!(units.dims(), [1, 2, 3]);
        for expert in units.into_data().try_to_vec::<i32>().unwrap().chunks_mut(3) {
            expert.sort_unstable();
            assert!(expert.windows(2).all(|pair| pair[0] < pair[1]), "{expert:?}");
        }
    }
}
