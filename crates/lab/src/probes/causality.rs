//! The effect of later tokens on the choices of earlier ones.

use burn::{prelude::*, tensor::IntDType};
use moe::{Domain, Input, RoutingProbe};
use report::{Cell, Column, Kind, NumberForm, Table};
use tasks::Batch;

use super::subject::{Subject, layer_column, numbers};

impl Subject<'_> {
    /// Tests whether choices depend on later tokens: the second half of each text is changed, and the choices
    /// of the first half must stay the same.
    ///
    /// That expert choice leaks the future in a decoder: Raposo et al. *Mixture-of-Depths*. 2024, section 3.5.
    /// <https://arxiv.org/abs/2404.02258>
    pub(super) fn causality(&self) -> anyhow::Result<Table> {
        let Domain::Text { vocab, length } = self.task.domain() else {
            anyhow::bail!("causality is measured on text only; {:?} has none", self.task.domain());
        };
        let mut moved: Vec<(f64, f64)> = Vec::new();
        for batch in self.batches() {
            let Input::Tokens(ids) = &batch.input else { continue };
            let changed = Input::Tokens(with_other_end(ids.clone(), vocab));
            let changed = Batch { input: changed, ..batch.clone() };
            let (_, before) = self.pass(&batch, RoutingProbe::default());
            let (_, after) = self.pass(&changed, RoutingProbe::default());
            moved.resize(before.layers.len(), (0.0, 0.0));
            for (sums, (a, b)) in moved.iter_mut().zip(before.layers.iter().zip(&after.layers)) {
                let (a, b) = (a.plan.choices(), b.plan.choices());
                let of_example = (a.len() / ids.dims()[0]).max(1);
                let early = of_example * (length / 2) / length;
                for (_, (a, b)) in
                    a.iter().zip(&b).enumerate().filter(|(unit, _)| unit % of_example < early)
                {
                    sums.0 += if same(a, b) { 0.0 } else { 1.0 };
                    sums.1 += 1.0;
                }
            }
        }
        let row = |(layer, (moved, n)): (usize, (f64, f64))| {
            vec![Cell::Number(layer as f64), Cell::Number(n), Cell::Number(moved / n.max(1.0))]
        };
        Ok(Table {
            title: "Effect of later tokens on the choices of earlier ones".into(),
            columns: [
                vec![
                    layer_column(),
                    Column::new("units", "units", Kind::Numbers(NumberForm::Fixed(0))),
                ],
                numbers(&[("changed", "share changed")]),
            ]
            .concat(),
            rows: moved.into_iter().enumerate().map(row).collect(),
            ..Table::default()
        })
    }
}

/// Texts `[B, T]` in whose second half each token is replaced by the next token of the vocabulary.
fn with_other_end(ids: Tensor<2, Int>, vocab: usize) -> Tensor<2, Int> {
    let length = ids.dims()[1];
    let half = length / 2;
    let later = (ids.clone().narrow(1, half, length - half) + 1).remainder_scalar(vocab as i64);
    Tensor::cat(vec![ids.narrow(1, 0, half), later.cast(IntDType::I32)], 1)
}

fn same(a: &[(usize, f32)], b: &[(usize, f32)]) -> bool {
    let near = |((i, w), (j, v)): (&(usize, f32), &(usize, f32))| i == j && (w - v).abs() < 1e-4;
    a.len() == b.len() && a.iter().zip(b).all(near)
}
