//! Dropped choices: they are choices of the null expert, which has the index E.

use burn::prelude::*;
use moe::Plan;

/// The plan in which the choices with `dropped` are given to the null expert, with the weight 0; all are
/// `[G, U, K]`.
pub(crate) fn without(
    dropped: Tensor<3, Bool>,
    experts: Tensor<3, Int>,
    weights: Tensor<3>,
    n_experts: usize,
) -> Plan {
    Plan::TokenChoice {
        experts: experts.mask_fill(dropped.clone(), n_experts as i64),
        weights: weights.mask_fill(dropped, 0.0),
        n_experts,
    }
}

/// `[G, U, E]`: every expert in order, for plans in which a unit may visit any number of experts.
pub(crate) fn every_expert(like: &Tensor<3>) -> Tensor<3, Int> {
    let [g, u, e] = like.dims();
    Tensor::<1, Int>::arange(0..e as i64, &like.device().inner())
        .reshape([1, 1, e])
        .expand([g, u, e])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ints, values};

    #[test]
    fn dropped_choices_go_to_no_one() {
        let device = Device::flex();
        let weights = Tensor::<3>::from_floats([[[0.5, 0.25, 0.25]]], &device);
        let dropped = weights.clone().lower_scalar(0.3);
        let plan = without(dropped, every_expert(&weights), weights, 3);
        let Plan::TokenChoice { experts, weights, .. } = plan else { panic!("units choose") };
        assert_eq!(ints(experts), [0, 3, 3]);
        assert_eq!(values(weights), [0.5, 0.0, 0.0]);
    }
}
