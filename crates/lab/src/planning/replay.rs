//! Checks that the traces that a run's router replays fit the examples of the run.

use moe::{Domain, Placement, typed};
use routers::ReplayConfig;
use serde_json::Value;
use tasks::{Split, Task};

use crate::spec::RunConfig;

/// Checks the traces; an error is a key with a message. The router itself checks sizes of units and numbers
/// of experts.
pub(super) fn check_replay(
    config: &RunConfig,
    task: &dyn Task,
) -> Result<(), (&'static str, String)> {
    let router = &config.moe.router;
    if router.kind != "replay" || config.moe.layers == Placement::NONE {
        return Ok(());
    }
    let wrong = |why: String| ("moe.router.files", format!("files: {why}"));
    let options = Value::Object(router.options.clone());
    let replay: ReplayConfig = typed(options).map_err(|(_, why)| wrong(why))?;
    if replay.files.is_empty() {
        return Ok(());
    }
    if let Domain::Pair { .. } = task.domain() {
        return Err(wrong("traces of networks of two sequences cannot be replayed".into()));
    }
    layers(config, &replay).map_err(wrong)?;
    if replay.partial {
        return Ok(());
    }
    let trained = (config.train.steps > 0).then_some(Split::Train);
    let mut splits = trained.into_iter().chain([Split::Valid, Split::Test]);
    splits.try_for_each(|split| whole(&replay, split, task.len(split))).map_err(wrong)
}

/// Checks that each trace has as many layers as the network, if the depth of the network is a setting.
fn layers(config: &RunConfig, replay: &ReplayConfig) -> Result<(), String> {
    let Some(depth) = config.backbone.options.get("depth").and_then(Value::as_u64) else {
        return Ok(());
    };
    let depth = depth as usize;
    let layers = (0..depth).filter(|block| config.moe.layers.has(*block, depth)).count();
    match replay.files.iter().find(|file| file.recorded.layers.len() != layers) {
        Some(file) => Err(format!(
            "{}: it has {} layers, but the network has {layers} MoE layers",
            file.path(),
            file.recorded.layers.len()
        )),
        None => Ok(()),
    }
}

/// Checks that the traces contain all examples of a split.
fn whole(replay: &ReplayConfig, split: Split, examples: usize) -> Result<(), String> {
    let traces = || replay.files.iter().filter(|file| file.recorded.split == split.name());
    let known = |example: &usize| traces().any(|file| !file.recorded.units(*example).is_empty());
    let missing = (0..examples).filter(|example| !known(example)).count();
    if missing == 0 {
        return Ok(());
    }
    Err(format!(
        "{missing} of the {examples} examples of the split {:?} are not in the traces; record them with \
         `trace RUN --split {}`, or set partial = true, so that the gate chooses for them",
        split.name(),
        split.name()
    ))
}
