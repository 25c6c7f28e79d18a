//! Test scaffold: layers with the numbers of the reference implementations.

use burn::{nn::Linear, prelude::*};
use moe::Init;

pub(super) use crate::worked::fill;

/// A map with a bias and a matrix that is given as `[d_out, d_in]`.
pub(super) fn given_linear(weight: u64, bias: u64, size: [usize; 2]) -> Linear {
    scaled_linear((weight, bias), size, 1.0)
}

/// The same with another scale of the matrix.
pub(super) fn scaled_linear(
    (weight, bias): (u64, u64),
    [d_in, d_out]: [usize; 2],
    scale: f64,
) -> Linear {
    let init = Init::new(0, &Device::flex());
    let given = fill(weight, d_in * d_out, scale);
    let turned = (0..d_in * d_out).map(|at| given[(at % d_out) * d_in + at / d_out]).collect();
    Linear {
        weight: init.given(&format!("w{weight}"), [d_in, d_out], turned),
        bias: Some(init.given(&format!("b{bias}"), [d_out], fill(bias, d_out, 1.0))),
    }
}

/// The values of a tensor, row by row.
pub(super) fn numbers<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().try_to_vec().unwrap()
}
