//! The similarity of the outputs of one unit's experts.
//!
//! Nguyen et al. *LibMoE: A Library for Comprehensive Benchmarking Mixture of Experts in Large Language
//! Models*. 2024. <https://arxiv.org/abs/2411.00918>

use moe::{LayerCapture, RoutingProbe};

use super::subject::Subject;

impl Subject<'_> {
    /// The similarity of the outputs of a unit's experts, averaged over units and layers; none if no unit in
    /// any layer has two experts.
    pub(super) fn output_similarity(&self) -> Option<f64> {
        let batch = self.batches().next()?;
        let (_, probe) =
            self.pass(&batch, RoutingProbe { with_outputs: true, ..RoutingProbe::default() });
        let found: Vec<f64> =
            probe.layers.iter().filter_map(|capture| Some(chosen_similarity(capture)?.0)).collect();
        (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64)
    }
}

/// sum_{i != j} ReLU(cos(E_i(x), E_j(x))) / K^2 over the K experts of a unit: its mean, least and largest
/// over the units. None where units are not what experts work on, row by row.
pub(super) fn chosen_similarity(capture: &LayerCapture) -> Option<(f64, f64, f64)> {
    let outputs = capture.outputs.as_ref()?;
    let [_, s, d] = outputs.dims();
    let choices = capture.plan.choices();
    if choices.len() != s || s == 0 {
        return None;
    }
    let length = outputs.clone().square().sum_dim(2).sqrt().clamp_min(1e-12);
    let unit: Vec<f32> = (outputs.clone() / length).into_data().iter::<f32>().collect();
    let row = |expert: usize, at: usize| &unit[(expert * s + at) * d..][..d];
    let cosine = |i: usize, j: usize, at: usize| {
        row(i, at).iter().zip(row(j, at)).map(|(a, b)| f64::from(a * b)).sum::<f64>()
    };
    let of = |(at, experts): (usize, &Vec<(usize, f32)>)| {
        let k = experts.len().max(1);
        let pairs = (0..k * k).filter(|pair| pair / k < pair % k && experts.len() > 1);
        let pairs = pairs.map(|pair| cosine(experts[pair / k].0, experts[pair % k].0, at).max(0.0));
        2.0 * pairs.sum::<f64>() / (k * k) as f64
    };
    let found: Vec<f64> = choices.iter().enumerate().map(of).collect();
    let mean = found.iter().sum::<f64>() / s as f64;
    let (least, most) = (f64::INFINITY, f64::NEG_INFINITY);
    Some((
        mean,
        found.iter().copied().fold(least, f64::min),
        found.iter().copied().fold(most, f64::max),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::prelude::*;
    use moe::Plan;

    #[test]
    fn the_similarity_of_a_unit_by_hand() {
        let device = Device::flex();
        let plan = Plan::TokenChoice {
            experts: Tensor::from_ints([[[0, 1], [1, 2], [2, 3]]], &device),
            weights: Tensor::full([1, 3, 2], 0.5, &device),
            n_experts: 3,
        };
        // Unit 0: experts at right angles, except for one component of 0.6; unit 1: opposite; unit 2: a
        // single expert.
        let outputs = [
            [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]],
            [[3.0, 4.0], [0.0, 2.0], [1.0, 0.0]],
            [[0.0, 1.0], [0.0, -1.0], [1.0, 0.0]],
        ];
        let outputs = Some(Tensor::<3>::from_floats(outputs, &device));
        let (mean, least, most) = chosen_similarity(&LayerCapture { plan, outputs }).unwrap();
        // Unit 0: 2 * 0.6 / 4.
        assert!((mean - 0.1).abs() < 1e-6 && least == 0.0 && (most - 0.3).abs() < 1e-6);
    }
}
