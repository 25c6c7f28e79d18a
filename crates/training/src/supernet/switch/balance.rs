//! The balance loss of layers of experts.
//!
//! of a layer: N sum_e f_e P_e,  f_e = counts_e / (k T),  P_e = sum_t p_te / T               (1)
//! of a side:  N^2 sum_e F_e Q_e                                                               (2)
//!
//! In (2), as in the published code, F_e and Q_e are counts and sums of probabilities over all layers of the
//! encoder or of the decoder that have several experts, both divided by the total number of counts, and N is
//! the largest number of experts of a layer. Layers with fewer experts, which the published code cannot add,
//! contribute 0 for the missing experts.

use burn::prelude::*;
use moe::Pass;

use super::{super::config::BalanceOver, routes::Routes};

/// The previous layers of a side, which the pass keeps for (2).
struct OfSide(Vec<OfLayer>);

struct OfLayer {
    p: Tensor<3>,
    real: Vec<bool>,
    counts: Vec<f64>,
}

/// Adds the loss of a layer with this coefficient to the pass, or keeps the data for the loss of its side.
pub(super) fn balance(
    pass: &mut Pass,
    (over, coefficient): (BalanceOver, f64),
    p: &Tensor<3>,
    routes: &Routes,
) {
    let units = routes.units();
    if coefficient == 0.0 || units == 0 {
        return;
    }
    let [.., n] = p.dims();
    let counts = routes.counts(n);
    if over == BalanceOver::Side {
        let mut side = pass.take::<OfSide>().unwrap_or(OfSide(Vec::new()));
        side.0.push(OfLayer { p: p.clone(), real: routes.real.clone(), counts });
        return pass.put(side);
    }
    let all = (routes.chosen.len() * units * units) as f64;
    let shares: Vec<f64> = counts.iter().map(|count| count / all).collect();
    let loss = weighed(p, &routes.real, &shares) * (n as f64 * coefficient); // (1)
    pass.loss("balance", loss);
}

/// Adds the loss (2) of the layers that were kept, if there are any.
pub(in super::super) fn balance_of_side(pass: &mut Pass, coefficient: f64) {
    let Some(OfSide(layers)) = pass.take::<OfSide>() else { return };
    let most = layers.iter().map(|layer| layer.counts.len()).max().unwrap_or(0);
    let count = |e: usize| layers.iter().filter_map(|layer| layer.counts.get(e)).sum::<f64>();
    let counts: Vec<f64> = (0..most).map(count).collect();
    let all: f64 = counts.iter().sum();
    let shares: Vec<f64> = counts.iter().map(|count| count / (all * all)).collect();
    let parts =
        layers.iter().map(|OfLayer { p, real, counts }| weighed(p, real, &shares[..counts.len()]));
    if let Some(sum) = parts.reduce(|a, b| a + b) {
        pass.loss("balance", sum * ((most * most) as f64 * coefficient));
    }
}

/// The sum over real tokens of their probabilities `[B, T, E]`, weighted by expert.
fn weighed(p: &Tensor<3>, real: &[bool], weights: &[f64]) -> Tensor<1> {
    let none = vec![0.0; weights.len()];
    let of = |real: &bool| if *real { weights } else { &none };
    let all: Vec<f32> = real.iter().flat_map(of).map(|weight| *weight as f32).collect();
    let all = TensorData::new(all, p.dims());
    kernels::sum(p.clone() * Tensor::<3>::from_data(all, &p.device().inner()))
}
