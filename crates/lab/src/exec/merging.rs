//! Merging of experts in the network from which a run starts.

use anyhow::{anyhow, bail, ensure};
use backbones::AnyBackbone;
use burn::prelude::*;
use moe::{Gone, Pruned, RoutingProbe};
use pruning::{clusters_in_groups, dominant};
use tasks::Split;
use training::evaluate;

use super::{model_builder::ModelBuilder, pruning::groups_of};
use crate::{
    planning::adapters,
    probes::Subject,
    spec::{PruneConfig, RunSpec},
    store::Selected,
};

impl ModelBuilder<'_> {
    /// Decides which experts of a run's network are merged: those with similar mean outputs on the validation
    /// split. The scores are the loads.
    pub(super) fn merge(
        &self,
        prune: &PruneConfig,
        from: &RunSpec,
        model: &AnyBackbone,
        had: Option<&Pruned>,
    ) -> anyhow::Result<Selected> {
        let gone = self.gone(prune, from, had)?;
        let task = self.task_for(from)?;
        can_merge(gone, from)?;
        let reports = evaluate(model, &*task, Split::Valid, self.device).layers;
        let loads: Vec<Vec<f64>> = reports.into_iter().map(|report| report.load).collect();
        ensure!(!loads.is_empty(), "prune: the network has no MoE layers");
        let subject = Subject { model, task: &*task, device: self.device };
        let experts: Vec<usize> = loads.iter().map(Vec::len).collect();
        let counts = prune.ratio.counts(&experts).map_err(|err| anyhow!("prune: {err}"))?;
        let mut selected = Selected {
            pruned: Pruned { gone, kept: Vec::new() },
            scores: loads,
            clusters: Vec::new(),
        };
        let groups = groups_of(from, gone);
        let layers = mean_outputs(&subject)?.into_iter().zip(counts).enumerate();
        for (layer, (outputs, count)) in layers {
            let (e, load) = (outputs.len(), &selected.scores[layer]);
            let found = clusters_in_groups(&outputs, e - count, groups);
            let number = |expert: usize| had.map_or(expert, |had| had.kept[layer][expert]);
            let mut kept: Vec<usize> = found.iter().map(|own| dominant(own, load)).collect();
            kept.sort_unstable();
            selected.pruned.kept.push(kept.into_iter().map(number).collect());
            selected.clusters.push(found);
        }
        Ok(selected)
    }
}

/// Refuses networks whose experts cannot be merged.
fn can_merge(gone: Gone, from: &RunSpec) -> anyhow::Result<()> {
    ensure!(
        gone == Gone::Remove,
        "prune: rule = \"merge\" takes gone = \"remove\": the router keeps the vectors of merged experts"
    );
    ensure!(
        adapters(&from.config.moe).is_none(),
        "prune: rule = \"merge\" is not for experts with adapters; a run that starts from this one with \
         plain experts adds them to the weights"
    );
    Ok(())
}

/// The mean output of each expert of each layer over all units of the examples of a trace.
fn mean_outputs(subject: &Subject) -> anyhow::Result<Vec<Vec<Vec<f64>>>> {
    let mut sums: Vec<Vec<Vec<f64>>> = Vec::new();
    let mut units: Vec<f64> = Vec::new();
    for batch in subject.batches() {
        let probe = RoutingProbe { with_outputs: true, ..RoutingProbe::default() };
        let (_, probe) = subject.pass(&batch, probe);
        let outputs = probe.layers.into_iter().filter_map(|capture| capture.outputs);
        let outputs: Vec<Tensor<3>> = outputs.collect();
        sums.resize_with(outputs.len(), Vec::new);
        // The layers of an encoder have a different number of tokens than those of a decoder.
        units.resize(outputs.len(), 0.0);
        outputs.iter().zip(&mut units).for_each(|(own, units)| *units += own.dims()[1] as f64);
        outputs.into_iter().zip(&mut sums).for_each(|(outputs, sums)| add(outputs, sums));
    }
    for (layer, units) in sums.iter_mut().zip(units) {
        layer.iter_mut().flatten().for_each(|sum| *sum /= units);
    }
    match sums.iter().flatten().flatten().find(|mean| !mean.is_finite()) {
        Some(mean) => bail!("prune: a mean output of an expert is {mean}"),
        None => Ok(sums),
    }
}

/// Adds the outputs `[E, S, D]` of a batch to the sum of each expert.
fn add(outputs: Tensor<3>, sums: &mut Vec<Vec<f64>>) {
    let [e, s, d] = outputs.dims();
    sums.resize_with(e, || vec![0.0; d]);
    let numbers: Vec<f32> = outputs.into_data().iter().collect();
    for (sum, own) in sums.iter_mut().zip(numbers.chunks(s * d)) {
        own.chunks(d)
            .for_each(|row| sum.iter_mut().zip(row).for_each(|(a, b)| *a += f64::from(*b)));
    }
}
