//! The normal distribution.

use burn::prelude::*;

/// Phi(x): the probability that a standard normal number is below x.
pub(crate) fn phi<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    ((x / std::f64::consts::SQRT_2).erf() + 1.0) / 2.0
}

#[test]
fn values_of_the_table() {
    let x = Tensor::<1>::from_floats([-2.0, -1.0, 0.0, 1.96], &Device::flex());
    let found = crate::testing::values(phi(x));
    crate::testing::close(&found, &[0.0227501, 0.1586553, 0.5, 0.9750021]);
}
