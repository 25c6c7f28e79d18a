//! Scaffold: the numbers that references were given.

use burn::{nn::Linear, prelude::*};
use moe::Init;

/// Numbers that follow from the salt and their places alone, between `-scale / 2` and `scale / 2`.
pub(super) fn fill(salt: u64, n: usize, scale: f64) -> Vec<f32> {
    let mix = |x: u64| {
        let z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    let value = |i: u64| {
        let unit = (mix((salt << 32) + i) >> 11) as f64 * 2_f64.powi(-53) - 0.5;
        (unit * scale) as f32
    };
    (0..n as u64).map(value).collect()
}

/// A map with a matrix that is given as `[d_out, d_in]`, and a bias.
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
