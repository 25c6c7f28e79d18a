//! The triplet loss over a batch of views of players.
//!
//! Hermans, Beyer, Leibe. *In Defense of the Triplet Loss for Person Re-Identification*.
//! <https://arxiv.org/abs/1703.07737>: for each view of a batch the farthest one of its player and the nearest one
//! of another player, and max(0, margin + far - near).

use burn::prelude::*;

use crate::score::constant;

/// The mean loss of embeddings `[B, 1, D]` of players `[B, 1]`; distances are those of embeddings of length 1.
pub(super) fn triplet(output: Tensor<3>, players: &Tensor<2, Int>, margin: f64) -> Tensor<1> {
    let [b, _, d] = output.dims();
    let x = output.reshape([b, d]);
    let length = (x.clone().square().sum_dim(1) + 1e-12).sqrt();
    let x = x / length;
    let products = kernels::matmul(x.clone(), x.transpose());
    let distances = (products.neg() * 2.0 + 2.0).clamp_min(1e-12).sqrt(); // [B, B]
    let labels: Vec<i32> = players.to_data().iter::<i32>().collect();
    let mask = |keep: &dyn Fn(usize, usize) -> bool, value: f32| {
        let values: Vec<f32> =
            (0..b * b).map(|at| if keep(at / b, at % b) { 0.0 } else { value }).collect();
        let mask = Tensor::<2>::from_data(TensorData::new(values, [b, b]), &players.device());
        constant(&distances, mask)
    };
    // What is not of the kind is moved out of the way.
    let far = (distances.clone() + mask(&|i, j| labels[i] == labels[j], -9.0)).max_dim(1);
    let near = (distances.clone() + mask(&|i, j| labels[i] != labels[j], 9.0)).min_dim(1);
    kernels::mean((far - near + margin).clamp_min(0.0))
}
