//! The initial weights of a run: random, or the final weights of another run, perhaps without some of its
//! experts.
//!
//! Such a run keeps two more files beside its checkpoint. `start.json` has the norms of the routers' vectors
//! and of the experts' weights at the start, from which a pruning rule can later compute their change;
//! `pruned.json` says which experts the run has, and networks are built accordingly.

use anyhow::{Context, anyhow};
use backbones::{AnyBackbone, zoomed};
use moe::{MoeConfig, Pruned};
use pruning::{carry, merged, norms};
use tasks::same_answers;

use super::{import::part_of_checkpoint, model_builder::ModelBuilder, pruning::fits_groups};
use crate::{planning::adapters, spec::RunSpec, store::Selected};

impl ModelBuilder<'_> {
    /// The initial network of a run, on an autodiff device.
    pub(crate) fn begin(&self, spec: &RunSpec) -> anyhow::Result<AnyBackbone> {
        let Some(from) = &spec.from else {
            let fresh = self.build(spec, &spec.config.moe, true)?;
            return match &spec.config.checkpoint {
                Some(checkpoint) => self.imported(spec, checkpoint, fresh),
                None => self.assemble(spec, fresh),
            };
        };
        let (there, had) = self.trained(from).context("the run that it starts from")?;
        let selected = self.selected(spec, from, &there, had.as_ref())?;
        let pruned = selected.as_ref().map(|selected| selected.pruned.clone());
        let places = places(pruned.as_ref(), had.as_ref());
        let there = resized(spec, there, selected.as_ref())?;
        let here = self.build(spec, &MoeConfig { pruned, ..spec.config.moe.clone() }, true)?;
        let other = |err| anyhow!("the run that it starts from has a different network: {err}");
        let there = zoomed(there, here.tokens()).map_err(other)?;
        let there = match adapters(&from.config.moe) {
            Some(lora) if adapters(&spec.config.moe).is_none() => {
                self.folded(from, &there, had.as_ref(), &lora)?
            }
            _ => there,
        };
        let part = part_of_checkpoint(from, &there, &here);
        let model = match &spec.config.upcycle {
            Some(upcycle) => self.upcycled(spec, upcycle, &there, here)?,
            None => {
                let fresh = is_fresh(spec, from);
                let fresh = |path: &str| fresh(path) || part.is_missing(path);
                carry(&there, here, &places, fresh).map_err(other)?
            }
        };
        self.keep_source(spec, from, part.said())?;
        self.store.write(&spec.id, "start.json", &norms(&model))?;
        if let Some(selected) = selected {
            self.store.write(&spec.id, "pruned.json", &selected)?;
        }
        Ok(model)
    }

    /// Checks, before anything is trained, that the network of the previous run has the parameters that a run
    /// with other backbone settings takes over.
    pub(super) fn check_start(&self, spec: &RunSpec) -> anyhow::Result<()> {
        match &spec.from {
            Some(from) if from.config.backbone != spec.config.backbone => {
                let there = self.build(from, &from.config.moe, false)?;
                let taken = there.resized(&spec.config.backbone).map(drop);
                taken.with_context(|| format!("method {:?}", spec.method))
            }
            _ => Ok(()),
        }
    }

    /// The experts of the run: those that its rule selects, or those of the previous run.
    fn selected(
        &self,
        spec: &RunSpec,
        from: &RunSpec,
        there: &AnyBackbone,
        had: Option<&Pruned>,
    ) -> anyhow::Result<Option<Selected>> {
        match &spec.config.prune {
            Some(prune) => {
                let selected = self.select(prune, spec.seed, from, there, had)?;
                fits_groups(from, &selected.pruned)?;
                Ok(Some(selected))
            }
            None => Ok(had.map(|pruned| Selected {
                pruned: pruned.clone(),
                scores: Vec::new(),
                clusters: Vec::new(),
            })),
        }
    }
}

/// The network of the previous run, with its experts merged and its sizes changed as the run requires.
fn resized(
    spec: &RunSpec,
    there: AnyBackbone,
    selected: Option<&Selected>,
) -> anyhow::Result<AnyBackbone> {
    let there = match selected {
        Some(selected) if !selected.clusters.is_empty() => {
            merged(there, &selected.clusters, &selected.scores)
                .map_err(|why| anyhow!("prune: {why}"))?
        }
        _ => there,
    };
    Ok(there.resized(&spec.config.backbone)?.unwrap_or(there))
}

/// Whether a parameter, by its path, keeps its random weights: the head, if outputs have another meaning in
/// the run's task, and adapters that the previous run does not have.
fn is_fresh(spec: &RunSpec, from: &RunSpec) -> impl Fn(&str) -> bool {
    let other_answers = !same_answers(&spec.config.task, &from.config.task);
    let new_adapters = adapters(&spec.config.moe).is_some() && adapters(&from.config.moe).is_none();
    move |path| {
        (other_answers && path.starts_with("head."))
            || (new_adapters && path.contains(".adapters."))
    }
}

/// The indices of the remaining experts among the original ones.
fn places(now: Option<&Pruned>, had: Option<&Pruned>) -> Vec<Vec<usize>> {
    let place = |layer: usize, expert: &usize| match had {
        Some(had) => had.kept[layer].iter().position(|known| known == expert).unwrap_or(*expert),
        None => *expert,
    };
    let of = |(layer, kept): (usize, &Vec<usize>)| {
        kept.iter().map(|expert| place(layer, expert)).collect()
    };
    now.map_or_else(Vec::new, |now| now.kept.iter().enumerate().map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use moe::Gone;

    #[test]
    fn places_are_counted_among_those_that_there_were() {
        let pruned = |kept: &[usize]| Pruned { gone: Gone::Zero, kept: vec![kept.to_vec()] };
        assert_eq!(places(Some(&pruned(&[1, 6])), None), [[1, 6]]);
        assert_eq!(places(Some(&pruned(&[1, 6])), Some(&pruned(&[1, 3, 6]))), [[0, 2]]);
        assert!(places(None, None).is_empty());
    }
}
