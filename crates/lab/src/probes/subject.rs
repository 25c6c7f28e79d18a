//! A trained network, and the examples on which it is probed.

use backbones::AnyBackbone;
use burn::prelude::*;
use moe::{Domain, Pass, Plan, RoutingProbe};
use report::{Column, Kind, NumberForm};
use tasks::{Batch, Split, Task};
use training::{EVALUATION_BATCH, put_batch_facts};

use super::trace::examples;

/// A trained network, and the task on whose examples it is probed: the same examples as in a trace.
pub(crate) struct Subject<'a> {
    pub(crate) model: &'a AnyBackbone,
    pub(crate) task: &'a dyn Task,
    pub(crate) device: &'a Device,
}

impl Subject<'_> {
    /// The examples in batches; pairs one by one, since a routing probe requires sequences of one length.
    pub(crate) fn batches(&self) -> impl Iterator<Item = Batch> + '_ {
        let examples = examples(self.task, self.model.tokens());
        let at_once =
            if matches!(self.task.domain(), Domain::Pair { .. }) { 1 } else { EVALUATION_BATCH };
        let batch = |examples: &[usize]| {
            self.task.batch(Split::Valid, examples, self.device).drawn(Split::Valid, examples)
        };
        examples.chunks(at_once).map(batch).collect::<Vec<_>>().into_iter()
    }

    /// The output of the network and the routing of its layers, with a changed plan if the probe has one.
    pub(crate) fn pass(&self, batch: &Batch, probe: RoutingProbe) -> (Tensor<3>, RoutingProbe) {
        let mut pass = Pass::eval();
        pass.put(probe);
        put_batch_facts(&mut pass, self.task, batch);
        let output = self.model.forward(&mut pass, batch.input.clone());
        (output, pass.take::<RoutingProbe>().unwrap_or_default())
    }

    pub(crate) fn layers(&self) -> Vec<Plan> {
        let batch = self.task.batch(Split::Valid, &[0], self.device).drawn(Split::Valid, &[0]);
        let (_, probe) = self.pass(&batch, RoutingProbe::default());
        probe.layers.into_iter().map(|capture| capture.plan).collect()
    }
}

pub(crate) fn layer_column() -> Column {
    Column::new("layer", "layer", Kind::Numbers(NumberForm::Fixed(0)))
}

pub(crate) fn numbers(columns: &[(&str, &str)]) -> Vec<Column> {
    let column =
        |(key, name): &(&str, &str)| Column::new(key, name, Kind::Numbers(NumberForm::Fixed(4)));
    columns.iter().map(column).collect()
}
