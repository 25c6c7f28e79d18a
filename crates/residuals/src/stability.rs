//! The growth of a perturbation from layer to layer.
//!
//! Teo, Nguyen. *MomentumSMoE*. NeurIPS 2024. <https://arxiv.org/abs/2410.14574>, section on stability.
//!
//! Near a fixed point a layer is f(x) = s x in each direction, with a curvature s of that direction.
//! Descent with the step gamma multiplies a disturbance by 1 - gamma s, and is stable for
//! 0 < gamma s < 2. With the heavy ball (x_t, x_{t-1}) goes by the matrix
//!
//! [[1 + mu - gamma s, -mu], [1, 0]]            (1)
//!
//! and is stable for 0 <= mu < 1 and 0 < gamma s < 2 + 2 mu. Here growth is measured, not derived: the
//! rule itself is carried through many such layers, so that every rule can be examined.
//!
//! Evidence: the range is from memory, and was verified here and by the eigenvalues of (1).

use burn::prelude::*;
use moe::{AnyResidual, Pass};

/// Layers gone through.
const DEPTH: usize = 60;
/// The number of layers over which the largest is taken, for disturbances that go up and down.
const WINDOW: usize = 10;

/// By what factor a disturbance grows in a layer, in the long run, for each curvature: below 1 it
/// dies out. A rule with steps of a fixed length has 1 where it swings about the fixed point.
pub fn growth(rule: &AnyResidual, curvatures: &[f64], device: &Device) -> Vec<f64> {
    let n = curvatures.len();
    let values: Vec<f32> = curvatures.iter().map(|curvature| *curvature as f32).collect();
    // Each curvature is a token of its own, so that they do not meet in any length.
    let s = Tensor::<3>::from_data(TensorData::new(values, [1, n, 1]), device);
    let mut x = Tensor::<3>::ones([1, n, 1], device);
    let mut pass = Pass::eval();
    let sizes: Vec<Tensor<3>> = (0..DEPTH)
        .map(|_| {
            x = rule.step(&mut pass, x.clone(), x.clone(), &|_, z| z * s.clone());
            x.clone().abs()
        })
        .collect();
    let largest = |end: usize| {
        let window = Tensor::cat(sizes[end - WINDOW..end].to_vec(), 0).max_dim(0);
        moe::read_back(window).iter::<f64>().collect::<Vec<f64>>()
    };
    let middle = DEPTH / 2;
    let factor = |(late, early): (f64, f64)| match early == 0.0 {
        true => 0.0,
        false => (late / early).powf(1.0 / (DEPTH - middle) as f64),
    };
    largest(DEPTH).into_iter().zip(largest(middle)).map(factor).collect()
}
