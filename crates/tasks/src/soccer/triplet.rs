//! The triplet loss over a batch of views of players.
//!
//! Hermans, Beyer, Leibe. *In Defense of the Triplet Loss for Person Re-Identification*.
//! <https://arxiv.org/abs/1703.07737>: for each view of a batch the farthest one of its player and the nearest one
//! of another player, and max(0, margin + far - near).

use burn::prelude::*;
use rand::seq::SliceRandom;

use crate::{BatchPosition, score::constant};

/// The number of views of a player in a batch: the paper's K.
const SHOWN: usize = 4;

/// Checks the settings of a task with this loss.
pub(super) fn check(embedding: usize, margin: f64) -> Result<(), String> {
    match embedding >= 1 && margin >= 0.0 {
        true => Ok(()),
        false => Err(format!(
            "embedding = {embedding}, margin = {margin}: must be at least 1 and at least 0"
        )),
    }
}

/// Random views of each of these players, different for each batch, and the player of each view.
pub(super) fn drawn_views(
    people: &[Vec<usize>],
    players: &[usize],
    place: BatchPosition,
) -> (Vec<usize>, Vec<i32>) {
    let (mut views, mut labels) = (Vec::new(), Vec::new());
    for (index, player) in players.iter().enumerate() {
        let mut own = people[*player].clone();
        own.shuffle(&mut place.rng("player", index));
        views.extend(own.iter().cycle().take(SHOWN));
        labels.extend(std::iter::repeat_n(*player as i32, SHOWN));
    }
    (views, labels)
}

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
    // Pairs of the other kind are moved out of reach of the maximum and the minimum.
    let far = (distances.clone() + mask(&|i, j| labels[i] == labels[j], -9.0)).max_dim(1);
    let near = (distances.clone() + mask(&|i, j| labels[i] != labels[j], 9.0)).min_dim(1);
    kernels::mean((far - near + margin).clamp_min(0.0))
}
