//! Checks that experts can be made of the dense networks of the run from which a run starts.

use moe::Placement;

use super::adapters::adapters;
use crate::spec::RunConfig;

/// Checks that there is a dense network, and that the experts are of a kind that can be made of one.
pub(super) fn check_upcycle(config: &RunConfig) -> Result<(), (&'static str, String)> {
    let Some(upcycle) = &config.upcycle else { return Ok(()) };
    let checked = match (&config.from, &config.prune) {
        (None, _) => {
            Err("`from`, the dense run that experts are made from, is not set".to_string())
        }
        (_, Some(_)) => Err("cannot be combined with `prune`".into()),
        (Some(from), None) => {
            check_experts(config, from).and_then(|()| upcycle.check(config.moe.experts))
        }
    };
    checked.map_err(|why| ("upcycle", format!("upcycle: {why}")))
}

fn check_experts(config: &RunConfig, from: &RunConfig) -> Result<(), String> {
    let (moe, kind) = (&config.moe, &config.moe.expert.kind);
    if from.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.partial) {
        return Err("from.partial = true: experts need a complete dense network; remove it".into());
    }
    if moe.layers == Placement::NONE {
        return Ok(());
    }
    if let Some(shared) = &moe.shared {
        return Err(format!(
            "moe.shared = {:?}: dense networks become routed experts, and a shared one would have no \
             weights; remove moe.shared",
            shared.expert.kind
        ));
    }
    if let Some(lora) = adapters(moe) {
        return Err(format!(
            "moe.expert = {kind:?}: dense networks have no adapters; use experts {:?} here, and add \
             adapters in a method `after` this one",
            lora.base().kind
        ));
    }
    let dense = from.backbone.options.get("dense").and_then(|dense| dense.get("kind")?.as_str());
    match dense.filter(|dense| *dense != kind.as_str()) {
        Some(dense) => Err(format!(
            "moe.expert = {kind:?}: must be {dense:?}, the kind of the dense networks that experts are made \
             from"
        )),
        None => Ok(()),
    }
}
