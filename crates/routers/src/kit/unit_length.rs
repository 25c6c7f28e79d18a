//! Vectors of length 1.

use burn::prelude::*;

/// Scales vectors along `dim` to length 1; a vector of zeros stays one.
pub(crate) fn unit_length<const D: usize>(x: Tensor<D>, dim: usize) -> Tensor<D> {
    let square = x.clone().square().sum_dim(dim);
    x / (square + 1e-12).sqrt()
}

#[test]
fn lengths_become_one() {
    let x = Tensor::<2>::from_floats([[3.0, 4.0], [0.0, 0.0]], &Device::flex());
    crate::testing::close(&crate::testing::values(unit_length(x, 1)), &[0.6, 0.8, 0.0, 0.0]);
}
