//! The assignment of tokens to the experts of a layer.

use burn::prelude::*;
use moe::{Pass, RealTokens};
use rand::seq::SliceRandom;

/// The experts of the tokens of a batch, and the tokens that exceed the capacity.
pub(super) struct Routes {
    /// For each of the k choices, the expert of each token.
    pub(super) chosen: Vec<Vec<usize>>,
    /// For each of the k choices, the probability of that expert.
    pub(super) probabilities: Vec<Vec<f32>>,
    /// Whether each token is dropped by its expert.
    pub(super) dropped: Vec<bool>,
    /// Whether each token is real, that is, not padding.
    pub(super) real: Vec<bool>,
}

impl Routes {
    /// Assigns each token the k experts of the highest probabilities `[B, T, E]`, the first among equals.
    pub(super) fn of(p: &Tensor<3>, k: usize, pass: &Pass) -> Self {
        let [b, t, n] = p.dims();
        let values: Vec<f32> = p.clone().detach().into_data().iter().collect();
        let rows: Vec<&[f32]> = values.chunks_exact(n).collect();
        let ranks: Vec<Vec<usize>> = rows.iter().map(|row| best(row, k)).collect();
        let choices = 0..k.min(n);
        let chosen: Vec<Vec<usize>> =
            choices.map(|at| ranks.iter().map(|rank| rank[at]).collect()).collect();
        let of = |chosen: &Vec<usize>| rows.iter().zip(chosen).map(|(row, e)| row[*e]).collect();
        Self {
            probabilities: chosen.iter().map(of).collect(),
            chosen,
            dropped: vec![false; b * t],
            real: real_tokens(pass, [b, t]),
        }
    }

    /// The number of real tokens.
    pub(super) fn units(&self) -> usize {
        self.real.iter().filter(|real| **real).count()
    }

    /// The number of real tokens that have chosen each of `n` experts, dropped or not.
    pub(super) fn counts(&self, n: usize) -> Vec<f64> {
        let mut counts = vec![0.0; n];
        for chosen in &self.chosen {
            let real = chosen.iter().zip(&self.real).filter(|(_, real)| **real);
            real.for_each(|(e, _)| counts[*e] += 1.0);
        }
        counts
    }

    /// Drops random tokens of the experts that have more than `factor` times an equal share of the tokens.
    pub(super) fn drop_beyond(&mut self, factor: f64, n: usize, pass: &mut Pass) {
        let capacity = (factor * self.units() as f64 / n as f64) as usize;
        let mut rng = pass.rng();
        for e in 0..n {
            let of_expert = |row: &usize| self.real[*row] && self.chosen[0][*row] == e;
            let mut own: Vec<usize> = (0..self.real.len()).filter(of_expert).collect();
            if own.len() > capacity {
                own.shuffle(&mut rng);
                own[capacity..].iter().for_each(|row| self.dropped[*row] = true);
            }
        }
    }
}

/// The indices of the `k` largest values, the first among equals.
fn best(row: &[f32], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|a, b| row[*b].total_cmp(&row[*a]));
    order.truncate(k);
    order
}

/// Whether each of `[B, T]` tokens is real, that is, not padding.
fn real_tokens(pass: &Pass, [b, t]: [usize; 2]) -> Vec<bool> {
    let counts = pass.get::<RealTokens>().map(|RealTokens(counts)| counts);
    let is_real = |row: usize| {
        counts.and_then(|counts| counts.get(row / t)).is_none_or(|count| row % t < *count)
    };
    (0..b * t).map(is_real).collect()
}
