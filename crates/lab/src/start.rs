//! What a run begins with: random weights, or those with which another run ended, perhaps without
//! some of its experts.
//!
//! Beside its checkpoint such a run keeps `start.json`, how long the vectors of its routers and the
//! weights of its experts were at its start, by which a pruning rule can tell later what they became;
//! and `pruned.json`, which experts it has. Networks are built by the latter.

use std::{fs, io, path::Path};

use anyhow::{Context, anyhow, bail};
use backbones::{AnyBackbone, BackboneSpec, zoomed};
use burn::prelude::*;
use moe::{Gone, Init, MoeConfig, Pruned, config, stable_hash};
use pruning::{Evidence, LayerNorms, Ratio, Rule, carry, keep, norms};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tasks::{Split, same_answers};
use training::{Checkpoint, evaluate};

use crate::{Plugins, facts::Facts, run_spec::RunSpec, store::Store};

config! {
    /// Which experts a run drops from the network that it begins with.
    pub struct PruneConfig {
        /// The share of each layer's experts that goes: one number, or one for each MoE layer.
        pub ratio: Ratio = Ratio::All(0.5),
        /// Which ones go.
        pub rule: Rule = Rule::RouterNormChange,
        /// What becomes of their choices. None is as in the paper: they give 0 where units choose, and
        /// the router loses them too where experts choose.
        pub gone: Option<Gone> = None,
    }
}

/// Which experts a run has, and why: `pruned.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Selected {
    /// As it is built.
    pub(crate) pruned: Pruned,
    /// The score of each expert that there was, by layer; empty if they were not scored for this run.
    pub(crate) scores: Vec<Vec<f64>>,
}

/// How networks are built: with which plug-ins, and where.
#[derive(Clone, Copy)]
pub(crate) struct ModelBuilder<'a> {
    pub(crate) plugins: &'a Plugins,
    pub(crate) store: &'a Store,
    /// Without autodiff.
    pub(crate) device: &'a Device,
}

impl ModelBuilder<'_> {
    /// The network as a run begins, on an autodiff device.
    pub(crate) fn begin(&self, cell: &RunSpec) -> anyhow::Result<AnyBackbone> {
        let Some(from) = &cell.from else { return self.build(cell, &cell.config.moe, true) };
        let (there, had) = self.trained(from).context("the run that it starts from")?;
        let selected = match &cell.config.prune {
            Some(prune) => Some(self.select(prune, cell.seed, from, &there, had.as_ref())?),
            None => had.clone().map(|pruned| Selected { pruned, scores: Vec::new() }),
        };
        let pruned = selected.as_ref().map(|selected| selected.pruned.clone());
        let places = places(pruned.as_ref(), had.as_ref());
        let here = self.build(cell, &MoeConfig { pruned, ..cell.config.moe.clone() }, true)?;
        // What an answer means is another thing in another task.
        let other_answers = !same_answers(&cell.config.task, &from.config.task);
        let fresh = |path: &str| other_answers && path.starts_with("head.");
        let other = |err| anyhow!("the run that it starts from has another network: {err}");
        let there = zoomed(there, here.tokens()).map_err(other)?;
        let model = carry(&there, here, &places, fresh).map_err(other)?;
        self.store.write(&cell.id, "start.json", &norms(&model))?;
        if let Some(selected) = selected {
            self.store.write(&cell.id, "pruned.json", &selected)?;
        }
        Ok(model)
    }

    /// The network with which a run ended, without autodiff, and which experts it has if not all.
    pub(crate) fn trained(&self, cell: &RunSpec) -> anyhow::Result<(AnyBackbone, Option<Pruned>)> {
        let folder = self.store.folder(&cell.id);
        let selected: Option<Selected> = read(&folder, "pruned.json")?;
        let pruned = selected.map(|selected| selected.pruned);
        let moe = MoeConfig { pruned: pruned.clone(), ..cell.config.moe.clone() };
        let model = self.build(cell, &moe, false)?;
        Ok((Checkpoint::load_model(&folder, model)?, pruned))
    }

    fn build(&self, cell: &RunSpec, moe: &MoeConfig, train: bool) -> anyhow::Result<AnyBackbone> {
        let device = if train { self.device.clone().autodiff() } else { self.device.clone() };
        let backbone = self.plugins.backbones.get(&cell.config.backbone.kind)?;
        let brief = BackboneSpec { moe, ..cell.config.brief(self.plugins, &*cell.data) };
        let init = Init::new(cell.seed, &device);
        Ok((backbone.build.init)(&cell.config.backbone, &brief, &init)?)
    }

    /// Decides which experts of a run's network are left.
    fn select(
        &self,
        prune: &PruneConfig,
        seed: u64,
        from: &RunSpec,
        model: &AnyBackbone,
        had: Option<&Pruned>,
    ) -> anyhow::Result<Selected> {
        let layers = self.evidence(prune.rule, seed, from, model, had)?;
        if layers.is_empty() {
            bail!("prune: the network has no MoE layers");
        }
        let gone = self.gone(prune, from, had)?;
        let experts: Vec<usize> = layers.iter().map(|layer| layer.load.len()).collect();
        let counts = prune.ratio.counts(&experts).map_err(|err| anyhow!("prune: {err}"))?;
        let mut selected = Selected { pruned: Pruned { gone, kept: vec![] }, scores: vec![] };
        for (number, (layer, count)) in layers.iter().zip(counts).enumerate() {
            // What is not pruned needs no reason.
            let scores = match count {
                0 => vec![0.0; layer.load.len()],
                _ => prune.rule.scores(layer).map_err(|err| anyhow!("prune: {err}"))?,
            };
            let left = keep(&scores, count).into_iter();
            let number_before = |expert: usize| had.map_or(expert, |had| had.kept[number][expert]);
            selected.pruned.kept.push(left.map(number_before).collect());
            selected.scores.push(scores);
        }
        Ok(selected)
    }

    fn gone(
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
            _ => Gone::Zero,
        };
        let gone = prune.gone.unwrap_or(published);
        if gone == Gone::Renormalize && form != Some("token-choice") {
            bail!(
                "prune: gone = \"renormalize\" is for routers where units choose; not {router:?}"
            );
        }
        match had.filter(|had| had.gone != gone) {
            Some(had) => {
                bail!("prune: gone = {gone:?}: it was {:?} when it was first pruned", had.gone)
            }
            None => Ok(gone),
        }
    }

    /// What is known of the experts of each MoE layer of a run's network.
    fn evidence(
        &self,
        rule: Rule,
        seed: u64,
        from: &RunSpec,
        model: &AnyBackbone,
        had: Option<&Pruned>,
    ) -> anyhow::Result<Vec<Evidence>> {
        let before: Option<Vec<LayerNorms>> = read(&self.store.folder(&from.id), "start.json")?;
        let reports = match rule.needs_data() {
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
                seed: stable_hash(&format!("{seed}/{layer}")),
            }
        });
        Ok(layers.collect())
    }
}

/// The lengths of the router's vectors for those experts that are left, where it has kept them all.
fn of_those(norms: LayerNorms, kept: Option<&[usize]>) -> LayerNorms {
    let router = match (norms.router, kept) {
        (Some(all), Some(kept)) if all.len() > kept.len() => {
            Some(kept.iter().map(|expert| all[*expert]).collect())
        }
        (router, _) => router,
    };
    LayerNorms { router, ..norms }
}

/// Where the experts that are left stand among those that there were.
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

/// A JSON file of a run, if it has one.
pub(crate) fn read<T: DeserializeOwned>(folder: &Path, name: &str) -> anyhow::Result<Option<T>> {
    let path = folder.join(name);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(err).with_context(|| path.display().to_string()),
    };
    let damaged = |err| anyhow!("{} is damaged: {err}", path.display());
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_among_those_that_there_were() {
        let pruned = |kept: &[usize]| Pruned { gone: Gone::Zero, kept: vec![kept.to_vec()] };
        assert_eq!(places(Some(&pruned(&[1, 6])), None), [[1, 6]]);
        assert_eq!(places(Some(&pruned(&[1, 6])), Some(&pruned(&[1, 3, 6]))), [[0, 2]]);
        assert!(places(None, None).is_empty());
    }

    #[test]
    fn lengths_are_those_of_the_experts_that_are_left() {
        let norms = |router: &[f64]| LayerNorms { router: Some(router.to_vec()), experts: None };
        assert_eq!(of_those(norms(&[1.0, 2.0, 3.0]), Some(&[0, 2])), norms(&[1.0, 3.0]));
        assert_eq!(of_those(norms(&[1.0, 3.0]), Some(&[0, 2])), norms(&[1.0, 3.0]));
    }
}
