//! SMEAR: one expert for each example, merged by the mean of its units.
//!
//! Muqeeth, Liu, Raffel. *Soft Merging of Experts with Adaptive Routing*. TMLR 2024.
//! <https://arxiv.org/abs/2306.03745>, section 3.
//!
//! R = softmax(norm(mean of the units) times W)                             (1)
//! theta = sum_i R_i theta_i,  y = FFN(x; theta) for all units x of the example
//!
//! norm is a layer norm without scale and shift. Every unit depends on all others by the mean: not for
//! decoders.
//!
//! Differs from the paper: no expert dropout, which the paper uses in one of its two settings.
//!
//! Not to be confused with: `lory`, which merges for each segment, by the one before it.

use burn::{module::Module, prelude::*};
use moe::{Dims, Init, NoConfig, Pass, Plan, Router, softmax};

use crate::kit::Gate;

/// An expert for each example.
#[derive(Module, Debug)]
pub struct Smear {
    gate: Gate,
}

impl Router for Smear {
    type Config = NoConfig;
    const NAME: &'static str = "smear";
    const ABOUT: &'static str = "one merged expert for each example, with weights from its mean";
    const PAPER: &'static str = "https://arxiv.org/abs/2306.03745";
    const CAUSAL: bool = false;
    const MERGES: bool = true;

    fn init(_config: &NoConfig, dims: Dims, init: &Init) -> Self {
        Self { gate: Gate::new(dims, init) }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let n_units = units.dims()[1];
        let mean = norm(units.mean_dim(1));
        let weights = softmax(self.gate.forward(pass, mean), 2); // (1)
        Plan::Merged { weights, n_units, segment: n_units }
    }

    fn flops_per_unit(&self) -> f64 {
        // The cost of one score for a whole example is negligible; each unit contributes to the mean.
        let [d, _] = self.gate.weight.lazy_shape().dims();
        d as f64
    }
}

/// Normalises the last axis to mean 0 and variance 1.
fn norm(x: Tensor<3>) -> Tensor<3> {
    let x = x.clone() - x.mean_dim(2);
    x.clone() / (x.square().mean_dim(2) + 1e-5).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, values};

    #[test]
    fn the_mean_decides_for_all_units() {
        let device = Device::flex();
        let gate = Tensor::<2>::from_floats([[3_f32.ln(), 0.0], [0.0, 0.0]], &device);
        let router = Smear { gate: Gate::of(gate) };
        // Mean (3, 1), normed (1, -1): 3 to 1.
        let units = Tensor::<3>::from_floats([[[2.0, 0.0], [4.0, 2.0]]], &device);
        let plan = router.route(&mut Pass::eval(), units);
        let Plan::Merged { weights, n_units, segment } = plan else { panic!("it merges") };
        assert_eq!((n_units, segment), (2, 2));
        close(&values(weights), &[0.75, 0.25]);
    }
}
