//! The growth of a perturbation from layer to layer.
//!
//! Teo, Nguyen. *MomentumSMoE*. NeurIPS 2024. <https://arxiv.org/abs/2410.14574>, section on stability.
//!
//! Near a fixed point a layer is f(x) = s x in each direction, with a curvature s of that direction.
//! Descent with the step gamma multiplies a perturbation by 1 - gamma s, and is stable for
//! 0 < gamma s < 2. With the heavy ball, (x_t, x_{t-1}) is multiplied by the matrix
//!
//! [[1 + mu - gamma s, -mu], [1, 0]]            (1)
//!
//! and is stable for 0 <= mu < 1 and 0 < gamma s < 2 + 2 mu. Here growth is measured, not derived: the
//! rule itself is applied through many such layers, so that every rule can be examined.
//!
//! Evidence: the range is from memory, and was verified here and by the eigenvalues of (1).

use burn::prelude::*;
use moe::{AnyResidual, Pass};

/// The number of layers.
const DEPTH: usize = 60;
/// The number of layers over which the largest value is taken, for perturbations that oscillate.
const WINDOW: usize = 10;

/// The factor by which a perturbation grows per layer, in the long run, for each curvature: below 1 it
/// vanishes. A rule with steps of a fixed length has 1 where it oscillates about the fixed point.
pub fn growth(rule: &AnyResidual, curvatures: &[f64], device: &Device) -> Vec<f64> {
    let n = curvatures.len();
    let values: Vec<f32> = curvatures.iter().map(|curvature| *curvature as f32).collect();
    // Each curvature is a token of its own, so that no norm includes several of them.
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
