//! Helpers that the tests of the routers share.

use burn::{module::Param, prelude::*};
use moe::{Pass, Plan, Router};

/// A tensor of numbers in `-scale / 2 .. scale / 2` that depend on `seed` alone: SplitMix64 over the
/// index. Published implementations were run on the same numbers.
pub(crate) fn fill<const D: usize>(seed: u64, shape: [usize; D], scale: f64) -> Tensor<D> {
    let mix = |x: u64| {
        let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    };
    let one = |i: u64| (mix((seed << 32) + i) >> 11) as f64 * 0.5_f64.powi(53) - 0.5;
    let n = shape.iter().product::<usize>() as u64;
    let values: Vec<f32> = (0..n).map(|i| (one(i) * scale) as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

/// A parameter with given values.
pub(crate) fn param<const D: usize>(value: Tensor<D>) -> Param<Tensor<D>> {
    Param::from_tensor(value)
}

/// The numbers of a tensor.
pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// The integers of a tensor.
pub(crate) fn ints<const D: usize>(tensor: Tensor<D, Int>) -> Vec<i32> {
    tensor.into_data().iter::<i32>().collect()
}

/// Asserts that numbers agree to 1e-5.
#[track_caller]
pub(crate) fn close(found: &[f32], expected: &[f32]) {
    let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * b.abs().max(1.0);
    let same = found.len() == expected.len() && found.iter().zip(expected).all(near);
    assert!(same, "found {found:?}, expected {expected:?}");
}

/// The experts and weights of a plan in which units choose, unit by unit.
#[track_caller]
pub(crate) fn chosen(
    router: &impl Router,
    pass: &mut Pass,
    units: Tensor<3>,
) -> (Vec<i32>, Vec<f32>) {
    match router.route(pass, units) {
        Plan::TokenChoice { experts, weights, .. } => (ints(experts), values(weights)),
        plan => panic!("units do not choose: {plan:?}"),
    }
}

/// The value of a loss or metric of a pass.
#[track_caller]
pub(crate) fn scalar(pass: &Pass, name: &str) -> f32 {
    let scalars = pass.scalars();
    let found = scalars.iter().find(|(known, _)| known == name);
    found.unwrap_or_else(|| panic!("no {name} among {scalars:?}")).1 as f32
}

#[test]
fn the_fill_has_its_published_check_values() {
    close(&values(fill(1, [3], 1.0)), &[0.266_301_75, -0.373_969, 0.200_931_24]);
}
