//! The dense mixture: every unit visits every expert. An upper bound, at E / K times the work.
//!
//! Jacobs, Jordan, Nowlan, Hinton. *Adaptive Mixtures of Local Experts*. Neural Computation 1991.
//! <https://doi.org/10.1162/neco.1991.3.1.79>
//!
//! p = softmax(x W)                             (1)
//! y = sum_i p_i E_i(x)                         (2)
//!
//! Differs from the paper: the outputs are mixed within a network; the paper mixes likelihoods at its end.
//!
//! Not to be confused with: the dense baseline of a comparison, which is one network without a router.

use burn::{module::Module, prelude::*};
use moe::{Dims, Init, NoConfig, Pass, Plan, Router, softmax};

use crate::kit::Gate;

/// Every unit visits every expert.
#[derive(Module, Debug)]
pub struct Dense {
    gate: Gate,
}

impl Router for Dense {
    type Config = NoConfig;
    const NAME: &'static str = "dense";
    const ABOUT: &'static str = "every unit visits every expert, weighted by a softmax";
    const PAPER: &'static str = "https://doi.org/10.1162/neco.1991.3.1.79";

    fn init(_config: &NoConfig, dims: Dims, init: &Init) -> Self {
        Self { gate: Gate::new(dims, init) }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        Plan::Dense { weights: softmax(self.gate.forward(pass, units), 2) } // (1), (2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_a_softmax_over_all_experts() {
        let device = Device::flex();
        // x = 2: scores 2 ln 2 and 0, so the weights are 4/5 and 1/5.
        let gate = Gate::of(Tensor::from_floats([[2_f32.ln(), 0.0]], &device));
        let units = Tensor::<3>::from_floats([[[2.0], [0.0]]], &device);
        let Plan::Dense { weights } = (Dense { gate }).route(&mut Pass::eval(), units) else {
            panic!("the plan is dense")
        };
        let weights = weights.into_data().try_to_vec::<f32>().unwrap();
        let expected = [0.8, 0.2, 0.5, 0.5];
        assert!(weights.iter().zip(expected).all(|(w, x)| (w - x).abs() < 1e-6), "{weights:?}");
    }
}
