//! Selection of the experts that a pruned network keeps.

use anyhow::{anyhow, bail, ensure};
use backbones::AnyBackbone;
use moe::{Gone, Pruned};
use pruning::{Evidence, LayerNorms, PruningRule, keep_in_groups, norms};
use tasks::Split;
use training::evaluate;

use super::model_builder::ModelBuilder;
use crate::{
    facts::Facts,
    spec::{PruneConfig, RunSpec},
    store::{NotFinite, Selected, read_json},
};

impl ModelBuilder<'_> {
    /// Decides which experts of a run's network remain.
    pub(super) fn select(
        &self,
        prune: &PruneConfig,
        seed: u64,
        from: &RunSpec,
        model: &AnyBackbone,
        had: Option<&Pruned>,
    ) -> anyhow::Result<Selected> {
        if prune.rule == PruningRule::Merge {
            return self.merge(prune, from, model, had);
        }
        let layers = self.evidence(prune, seed, from, model, had)?;
        if layers.is_empty() {
            bail!("prune: the network has no MoE layers");
        }
        let gone = self.gone(prune, from, had)?;
        let groups = groups_of(from, gone);
        let experts: Vec<usize> = layers.iter().map(|layer| layer.load.len()).collect();
        let counts = prune.ratio.counts(&experts).map_err(|err| anyhow!("prune: {err}"))?;
        let mut selected =
            Selected { pruned: Pruned { gone, kept: vec![] }, scores: vec![], clusters: vec![] };
        for (number, (layer, count)) in layers.iter().zip(counts).enumerate() {
            // Without pruning no scores are needed.
            let scores = match count {
                0 => vec![0.0; layer.load.len()],
                _ => prune.rule.scores(layer).map_err(|err| anyhow!("prune: {err}"))?,
            };
            check_finite(number, &scores)?;
            let left = keep_in_groups(&scores, count, groups).into_iter();
            let number_before = |expert: usize| had.map_or(expert, |had| had.kept[number][expert]);
            selected.pruned.kept.push(left.map(number_before).collect());
            selected.scores.push(scores);
        }
        Ok(selected)
    }

    pub(super) fn gone(
        &self,
        prune: &PruneConfig,
        from: &RunSpec,
        had: Option<&Pruned>,
    ) -> anyhow::Result<Gone> {
        let router = &from.config.moe.router.kind;
        let form = Facts::of(&self.plugins.library.routers, router).map(|facts| facts.plan);
        let published = match (had, form) {
            (Some(had), _) => had.gone,
            (None, Some("expert-choice")) => Gone::Remove,
            (None, _) if prune.rule == PruningRule::Merge => Gone::Remove,
            _ => Gone::Zero,
        };
        let gone = prune.gone.unwrap_or(published);
        if gone == Gone::Renormalize && form != Some("token-choice") {
            bail!(
                "prune: gone = \"renormalize\" is only for routers where units choose; not {router:?}"
            );
        }
        match had.filter(|had| had.gone != gone) {
            Some(had) => {
                bail!("prune: gone = {gone:?}: must be {:?}, as in the first pruning", had.gone)
            }
            None => Ok(gone),
        }
    }

    /// Statistics of the experts of each MoE layer of a run's network.
    fn evidence(
        &self,
        prune: &PruneConfig,
        seed: u64,
        from: &RunSpec,
        model: &AnyBackbone,
        had: Option<&Pruned>,
    ) -> anyhow::Result<Vec<Evidence>> {
        let before: Option<Vec<LayerNorms>> =
            read_json(&self.store.folder(&from.id), "start.json")?;
        let reports = match prune.rule.needs_data() {
            true => evaluate(model, &*self.task_for(from)?, Split::Valid, self.device).layers,
            false => Vec::new(),
        };
        let layers = norms(model).into_iter().enumerate().map(|(layer, now)| {
            let kept = had.map(|had| had.kept[layer].as_slice());
            let n = kept.map_or(from.config.moe.experts, <[usize]>::len);
            let report = reports.get(layer);
            let before = before.as_ref().and_then(|before| before.get(layer));
            Evidence {
                before: before.map(|before| of_those(before.clone(), kept)),
                now: of_those(now, kept),
                load: report.map_or_else(|| vec![0.0; n], |report| report.load.clone()),
                weight: report.map_or_else(|| vec![0.0; n], |report| report.weight.clone()),
                units: report.map_or(1, |report| report.units),
                seed: prune.seed_of(seed, layer),
            }
        });
        Ok(layers.collect())
    }
}

/// The number of groups of experts in a run's router that must keep equal sizes: 1 if experts are not
/// removed, or if the router has no groups.
pub(super) fn groups_of(from: &RunSpec, gone: Gone) -> usize {
    let groups = from.config.moe.router.options.get("groups").and_then(|groups| groups.as_u64());
    if gone == Gone::Remove { groups.unwrap_or(1).max(1) as usize } else { 1 }
}

/// Refuses to remove more experts of one group of a router than of another: the remaining experts would then
/// belong to other groups than before.
pub(super) fn fits_groups(from: &RunSpec, pruned: &Pruned) -> anyhow::Result<()> {
    let (moe, groups) = (&from.config.moe, groups_of(from, pruned.gone));
    if groups == 1 {
        return Ok(());
    }
    for (layer, kept) in pruned.kept.iter().enumerate() {
        let mut left = vec![0; groups];
        kept.iter().for_each(|expert| left[expert * groups / moe.experts] += 1);
        ensure!(
            left.iter().all(|n| *n == left[0]),
            "prune: gone = \"remove\": MoE layer {layer} would have {left:?} experts in the {groups} groups \
             of its router, which must have equal sizes; gone = \"zero\" leaves every expert in its group"
        );
    }
    Ok(())
}

/// Refuses to rank experts by scores that are not finite.
fn check_finite(layer: usize, scores: &[f64]) -> Result<(), NotFinite> {
    match scores.iter().enumerate().find(|(_, score)| !score.is_finite()) {
        Some((expert, score)) => Err(NotFinite(format!(
            "prune: the score of expert {expert} of MoE layer {layer} is {score}"
        ))),
        None => Ok(()),
    }
}

/// The norms of the router's vectors of the remaining experts, if the router has kept those of all experts.
fn of_those(norms: LayerNorms, kept: Option<&[usize]>) -> LayerNorms {
    let router = match (norms.router, kept) {
        (Some(all), Some(kept)) if all.len() > kept.len() => {
            Some(kept.iter().map(|expert| all[*expert]).collect())
        }
        (router, _) => router,
    };
    LayerNorms { router, ..norms }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_that_are_not_finite_are_named() {
        let err = check_finite(2, &[0.5, f64::NAN]).unwrap_err().to_string();
        assert_eq!(err, "prune: the score of expert 1 of MoE layer 2 is NaN");
        assert!(check_finite(0, &[f64::NEG_INFINITY]).is_err());
        assert!(check_finite(0, &[-1.0, 0.0]).is_ok());
    }

    #[test]
    fn lengths_are_those_of_the_experts_that_are_left() {
        let norms = |router: &[f64]| LayerNorms { router: Some(router.to_vec()), experts: None };
        assert_eq!(of_those(norms(&[1.0, 2.0, 3.0]), Some(&[0, 2])), norms(&[1.0, 3.0]));
        assert_eq!(of_those(norms(&[1.0, 3.0]), Some(&[0, 2])), norms(&[1.0, 3.0]));
    }
}
