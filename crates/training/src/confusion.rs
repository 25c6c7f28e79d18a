//! Confusions between classes.

use backbones::AnyBackbone;
use burn::prelude::*;
use moe::Pass;
use tasks::{Split, Task};

use crate::{EVALUATION_BATCH, batch_facts::put_batch_facts};

/// The confusion matrix `[true class][predicted class]`, in numbers of examples of a split. `model` must be
/// in evaluation mode.
pub fn confusion(
    model: &AnyBackbone,
    task: &dyn Task,
    split: Split,
    device: &Device,
) -> Vec<Vec<f64>> {
    let n = task.outputs();
    let mut counts = vec![vec![0.0; n]; n];
    let examples: Vec<usize> = (0..task.len(split)).collect();
    for examples in examples.chunks(EVALUATION_BATCH) {
        let batch = task.batch(split, examples, device).drawn(split, examples);
        let mut pass = Pass::eval();
        put_batch_facts(&mut pass, task, &batch);
        let answers = model.forward(&mut pass, batch.input.clone()).argmax(2);
        let truth = batch.labels.into_data();
        for (truth, answer) in truth.iter::<i64>().zip(answers.into_data().iter::<i64>()) {
            counts[truth as usize][answer as usize] += 1.0;
        }
    }
    counts
}

/// The graph of a confusion matrix: the rate at which one of two classes is mistaken for the other, as a
/// share of its examples, without loops. W = A + A^T, A_ij = C_ij / sum_j C_ij.
pub fn confusion_graph(counts: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let share = |i: usize, j: usize| {
        let all: f64 = counts[i].iter().sum();
        if all > 0.0 { counts[i][j] / all } else { 0.0 }
    };
    let weight = |i, j| if i == j { 0.0 } else { share(i, j) + share(j, i) };
    let n = counts.len();
    (0..n).map(|i| (0..n).map(|j| weight(i, j)).collect()).collect()
}
