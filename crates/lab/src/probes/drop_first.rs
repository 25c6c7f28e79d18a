//! The effect of dropping the first expert of each unit.

use moe::RoutingProbe;
use report::{Cell, Column, Kind, Table};
use tasks::Score;

use super::{
    plan_edit::{changeable, without_first},
    subject::{Subject, layer_column, numbers},
};

impl Subject<'_> {
    /// The effect of the first choice: in one layer each unit loses its heaviest expert, and the weights of
    /// the others stay unchanged.
    ///
    /// Lu et al. *Not All Experts are Equal: Efficient Expert Pruning and Skipping for
    /// Mixture-of-Experts Large Language Models*. ACL 2024. <https://arxiv.org/abs/2402.14800>
    pub(super) fn drop_first(&self) -> anyhow::Result<Table> {
        let whole = self.score(None);
        let names = self.task.metrics();
        let mut rows = Vec::new();
        for (layer, plan) in self.layers().iter().enumerate() {
            changeable(plan)?;
            let without = self.score(Some(layer));
            for (name, (before, after)) in names.iter().zip(whole.iter().zip(&without)) {
                rows.push(vec![
                    Cell::Number(layer as f64),
                    Cell::Words((*name).into()),
                    Cell::Number(*before),
                    Cell::Number(*after),
                    Cell::Number(after - before),
                ]);
            }
        }
        Ok(Table {
            title: "Loss without the first expert of each unit, one layer at a time".into(),
            columns: [
                vec![layer_column(), Column::new("metric", "metric", Kind::Words)],
                numbers(&[
                    ("whole", "whole"),
                    ("without", "without"),
                    ("difference", "difference"),
                ]),
            ]
            .concat(),
            rows,
            ..Table::default()
        })
    }

    fn score(&self, without_first_of: Option<usize>) -> Vec<f64> {
        let mut score = Score::default();
        for batch in self.batches() {
            let probe = RoutingProbe {
                plan_override: Some(Box::new(move |layer, plan| {
                    match Some(layer) == without_first_of {
                        true => without_first(plan),
                        false => plan,
                    }
                })),
                ..RoutingProbe::default()
            };
            let (output, _) = self.pass(&batch, probe);
            self.task.measure(output, &batch, &mut score);
        }
        self.task.metrics().iter().map(|name| score.mean(name)).collect()
    }
}
