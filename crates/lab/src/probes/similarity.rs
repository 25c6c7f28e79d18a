//! The similarity of experts, in their outputs and in their weights.

use backbones::AnyBackbone;
use burn::{module::Param, prelude::*};
use moe::{PathVisitor, RoutingProbe, visit_paths};
use report::{Cell, Column, Kind, Table};
use tasks::Split;
use training::EVALUATION_BATCH;

use super::{
    output_similarity::chosen_similarity,
    subject::{Subject, layer_column, numbers},
    trace::examples,
};

impl Subject<'_> {
    /// The similarity of the experts of a layer: the cosine of their outputs for the same rows, and of their
    /// weights, averaged over the pairs.
    ///
    /// Lo et al. *A Closer Look into Mixture-of-Experts in Large Language Models*. 2024.
    /// <https://arxiv.org/abs/2406.18219>
    pub(super) fn similarity(&self) -> Table {
        let weights = expert_weights(self.model);
        let examples: Vec<usize> =
            examples(self.task, self.model.tokens()).into_iter().take(EVALUATION_BATCH).collect();
        let batch = self.task.batch(Split::Valid, &examples, self.device);
        let batch = batch.drawn(Split::Valid, &examples);
        let (_, probe) =
            self.pass(&batch, RoutingProbe { with_outputs: true, ..RoutingProbe::default() });
        let mut rows = Vec::new();
        for (at, capture) in probe.layers.into_iter().enumerate() {
            let e = capture.plan.n_experts();
            let chosen = chosen_similarity(&capture);
            let outputs = capture.outputs.map(|outputs| mean_cosines(outputs, e));
            let weights = weights.get(at).filter(|w| w.dims()[0] == e);
            let weights = weights.map(|w| mean_cosines(w.clone().unsqueeze_dim::<3>(1), e));
            for (name, found) in
                [("outputs", outputs), ("a unit's outputs", chosen), ("weights", weights)]
            {
                let Some((mean, least, most)) = found else { continue };
                rows.push(vec![
                    Cell::Number(at as f64),
                    Cell::Words(name.into()),
                    Cell::Number(mean),
                    Cell::Number(least),
                    Cell::Number(most),
                ]);
            }
        }
        Table {
            title: "Similarity of experts: cosine over pairs".into(),
            notes: vec![
                "a unit's outputs: those of its own experts, over K^2 and not K (K - 1), negative ones \
                 as 0, and least and most over units."
                    .into(),
            ],
            columns: [
                vec![layer_column(), Column::new("of", "of", Kind::Words)],
                numbers(&[("mean", "mean"), ("least", "least"), ("most", "most")]),
            ]
            .concat(),
            rows,
            ..Table::default()
        }
    }
}

/// The mean, smallest and largest cosine over the pairs of E experts of `[E, S, D]`, each averaged over S
/// rows; none with fewer than two experts.
fn mean_cosines(rows: Tensor<3>, e: usize) -> (f64, f64, f64) {
    let [_, s, d] = rows.dims();
    let length = rows.clone().square().sum_dim(2).sqrt().clamp_min(1e-12);
    let unit = (rows / length).reshape([e, s * d]);
    let cosines = kernels::matmul(unit.clone(), unit.transpose()) / s as f64;
    let cosines: Vec<f64> = cosines.into_data().iter::<f32>().map(f64::from).collect();
    let pairs = || (0..e * e).filter(|at| at / e < at % e).map(|at| cosines[at]);
    let n = (e * e.saturating_sub(1) / 2).max(1) as f64;
    (pairs().sum::<f64>() / n, pairs().fold(1.0, f64::min), pairs().fold(-1.0, f64::max))
}

/// The weights of each MoE layer's experts, `[E, all]`, for experts that are one stack.
fn expert_weights(model: &AnyBackbone) -> Vec<Tensor<2>> {
    let mut stacks = Stacks::default();
    visit_paths(model, &mut stacks);
    stacks.layers.into_iter().map(|(_, parts)| Tensor::cat(parts, 1)).collect()
}

#[derive(Default)]
struct Stacks {
    layers: Vec<(String, Vec<Tensor<2>>)>,
}

impl PathVisitor for Stacks {
    fn visit<const D: usize>(&mut self, path: &[String], param: &Param<Tensor<D>>) {
        let Some(at) = path.iter().position(|name| name == "experts") else { return };
        let (layer, value) = (path[..at].join("."), param.val());
        let e = value.dims()[0];
        let part = value.reshape([e as i64, -1]);
        match self.layers.last_mut().filter(|(known, _)| *known == layer) {
            Some((_, parts)) if parts[0].dims()[0] == e => parts.push(part),
            Some(_) => {}
            None => self.layers.push((layer, vec![part])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_by_hand() {
        let rows = Tensor::<3>::from_floats(
            [[[1.0, 0.0], [0.0, 2.0]], [[2.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]],
            &Device::flex(),
        );
        // Pairs 0-1: 1 and 1; 0-2 and 1-2: 0 and 1.
        let (mean, least, most) = mean_cosines(rows, 3);
        assert!((mean - 2.0 / 3.0).abs() < 1e-6 && (least - 0.5).abs() < 1e-6);
        assert!((most - 1.0).abs() < 1e-6);
    }
}
