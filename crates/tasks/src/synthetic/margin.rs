//! Binary classification by the sign of one output f: the margin y f(x), y = +1 or -1.

use burn::prelude::*;

use crate::{Batch, Score, score::constant};

/// The margins y f(x), `[B]`, for outputs `[B, 1, 1]` and labels 0 (y = -1) and 1 (y = +1).
fn margins(output: Tensor<3>, batch: &Batch) -> Tensor<1> {
    let y = batch.labels.clone().float() * 2.0 - 1.0;
    let y = constant(&output, y);
    (output.squeeze_dim::<2>(2) * y).squeeze_dim::<1>(1)
}

/// The mean of the hinge loss max(0, 1 - y f(x)).
pub(super) fn hinge(output: Tensor<3>, batch: &Batch) -> Tensor<1> {
    kernels::mean((margins(output, batch).neg() + 1.0).clamp_min(0.0))
}

/// Adds accuracy and hinge loss.
pub(super) fn measure(output: Tensor<3>, batch: &Batch, score: &mut Score) {
    let margins: Vec<f32> = margins(output, batch).into_data().iter::<f32>().collect();
    let right = margins.iter().filter(|margin| **margin > 0.0).count();
    let loss: f64 = margins.iter().map(|margin| f64::from(1.0 - margin).max(0.0)).sum();
    score.add("accuracy", right as f64, margins.len());
    score.add("loss", loss, margins.len());
}
