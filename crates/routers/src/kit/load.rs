//! The load of each expert, and its imbalance.

use burn::prelude::*;

/// The number of choices of each expert. `[G, U, K] -> [E]`; the null expert is not counted.
pub(crate) fn counts(experts: Tensor<3, Int>, n_experts: usize) -> Tensor<1> {
    moe::counts(experts, n_experts)
}

/// The squared coefficient of variation, variance over squared mean. The variance is that of a population,
/// divided by n, as in V-MoE. (FastMoE divides by n - 1.)
///
/// 0 at perfect balance, n - 1 at collapse onto one.
pub(crate) fn cv_squared(x: Tensor<1>) -> Tensor<1> {
    let mean = x.clone().mean();
    (x - mean.clone()).square().mean() / (mean.square() + 1e-10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, values};

    #[test]
    fn choices_are_counted_without_the_null_expert() {
        let experts = Tensor::<3, Int>::from_ints([[[0, 3], [1, 0]]], &Device::flex());
        close(&values(counts(experts, 3)), &[2.0, 1.0, 0.0]);
    }

    #[test]
    fn variation_at_balance_and_at_collapse() {
        let cv = |x: [f32; 4]| values(cv_squared(Tensor::from_floats(x, &Device::flex())));
        close(&cv([2.0; 4]), &[0.0]);
        close(&cv([0.0, 8.0, 0.0, 0.0]), &[3.0]);
    }
}
