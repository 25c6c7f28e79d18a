//! Checks that the network of a run takes all of the checkpoint from which it starts, and has no other
//! parameters.

use std::{collections::BTreeMap, path::Path};

use anyhow::ensure;
use backbones::AnyBackbone;
use burn::{
    module::{Module, Param, ParamId},
    prelude::*,
};
use interop::{CheckpointFiles, describe, unmatched};
use moe::{Init, PathVisitor, visit_paths};
use tasks::{Task, same_answers};

use crate::{
    Plugins,
    spec::{RunConfig, RunSpec},
};

/// The advice if a network takes only a part of a checkpoint.
const ADVICE: &str = "\n  if this is intended, set from = { checkpoint = \"..\", partial = true }: it loads \
                      the parameters that both have, ignores others of the checkpoint and initialises \
                      others of the network";

/// The position embeddings, which are interpolated to other sizes of images.
const ZOOMED: &str = "positions";

/// The parameters that two networks do not have in common, by path.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Unmatched {
    /// Parameters only of the network whose weights are taken.
    left: Vec<String>,
    /// Parameters only of the network that takes them.
    missing: Vec<String>,
    /// Parameters of both networks with different shapes: path, and the shape there and here.
    reshaped: Vec<(String, [Vec<usize>; 2])>,
}

impl Unmatched {
    /// Compares two networks without creating their parameters. Parameters are the same if their identities
    /// are equal, which follow from their paths.
    pub(crate) fn between(there: &impl Module, here: &impl Module) -> Self {
        let (there, here) = (known(there), known(here));
        let mut found = Self::default();
        for (id, (path, shape)) in &here {
            match there.get(id) {
                None => found.missing.push(path.clone()),
                Some((_, other)) if other != shape => {
                    found.reshaped.push((path.clone(), [other.clone(), shape.clone()]));
                }
                Some(_) => {}
            }
        }
        let left = there.iter().filter(|(id, _)| !here.contains_key(*id));
        found.left.extend(left.map(|(_, (path, _))| path.clone()));
        found.left.sort();
        found.missing.sort();
        found.reshaped.sort();
        found
    }

    /// Whether this is the path of a parameter that the network whose weights are taken does not have.
    pub(crate) fn is_missing(&self, path: &str) -> bool {
        self.missing.iter().any(|missing| missing == path)
    }

    /// A warning, if a parameter is not taken or not set.
    pub(crate) fn said(&self) -> Option<String> {
        let of = |paths: &[String]| match paths {
            [] => "none".to_string(),
            [one] => one.clone(),
            [first, ..] => format!("{}, the first is {first}", paths.len()),
        };
        let (left, anew) = (of(&self.left), of(&self.missing));
        let all = self.left.is_empty() && self.missing.is_empty();
        (!all).then(|| {
            format!(
                "from.partial = true: unused parameters of the checkpoint: {left}; newly initialised \
                 parameters: {anew}"
            )
        })
    }

    /// A line for each of the first parameters with different shapes, and the number of the others.
    fn other_shapes(&self) -> Vec<String> {
        const SHOWN: usize = 20;
        let line = |(path, [there, here]): &(String, [Vec<usize>; 2])| {
            format!("parameter {path} is {here:?}, and {there:?} in the checkpoint")
        };
        let more = self.reshaped.len().saturating_sub(SHOWN);
        let lines = self.reshaped.iter().take(SHOWN).map(line);
        lines.chain((more > 0).then(|| format!("and {more} more of these"))).collect()
    }

    /// Removes the parameters whose path satisfies `fits`.
    fn without(mut self, fits: impl Fn(&str) -> bool) -> Self {
        self.left.retain(|path| !fits(path));
        self.missing.retain(|path| !fits(path));
        self.reshaped.retain(|(path, _)| !fits(path));
        self
    }
}

/// Paths and shapes of all parameters by their identities.
type Known = BTreeMap<ParamId, (String, Vec<usize>)>;

fn known(network: &impl Module) -> Known {
    struct List(Known);
    impl PathVisitor for List {
        fn visit<const D: usize>(&mut self, path: &[String], param: &Param<Tensor<D>>) {
            let shape = param.lazy_shape().to_vec();
            self.0.insert(param.id, (path.join("."), shape));
        }
    }
    let mut list = List(Known::new());
    visit_paths(network, &mut list);
    list.0
}

/// Checks that a run takes each tensor of the checkpoint from which it starts, and has no other parameters,
/// unless `from.partial` permits taking a part. Adapters are initialised anew, and so is the head if outputs
/// have another meaning; experts that are made of dense networks have a separate check.
///
/// # Errors
/// If a parameter does not match; lists the unused ones, the missing ones with the nearest names, and those
/// with different shapes.
pub(super) fn takes_all(
    config: &RunConfig,
    data: &dyn Task,
    from: &RunSpec,
    plugins: &Plugins,
) -> anyhow::Result<()> {
    let Some(checkpoint) = &from.config.checkpoint else { return Ok(()) };
    if config.upcycle.is_some() {
        return Ok(());
    }
    let there = network(&from.config, &*from.data, plugins)?;
    let (here, folder) = (network(config, data, plugins)?, &checkpoint.folder);
    let mut found = Unmatched::between(&there, &here).without(begins_anew(config, &from.config));
    found.reshaped.retain(|(path, _)| path != ZOOMED);
    let mut lines = Vec::new();
    let complete = found.left.is_empty() && found.missing.is_empty();
    if !(complete || checkpoint.partial) {
        let files = CheckpointFiles::open(Path::new(folder))?;
        lines = unmatched(&describe(&files.config)?.rules, &found.left, &found.missing);
    }
    let advice = if lines.is_empty() { "" } else { ADVICE };
    lines.extend(found.other_shapes());
    ensure!(
        lines.is_empty(),
        "from: the network does not match checkpoint {folder}:\n  {}{advice}",
        lines.join("\n  ")
    );
    Ok(())
}

/// Whether a parameter, by its path, need not come from the checkpoint.
fn begins_anew(config: &RunConfig, from: &RunConfig) -> impl Fn(&str) -> bool {
    let other_answers = !same_answers(&config.task, &from.task);
    let has_adapters = config.moe.expert.kind == "lora" && from.moe.expert.kind != "lora";
    move |path| {
        (other_answers && path.starts_with("head."))
            || (has_adapters && path.contains(".adapters."))
    }
}

/// The network of a run, whose weights are not created.
fn network(config: &RunConfig, data: &dyn Task, plugins: &Plugins) -> anyhow::Result<AnyBackbone> {
    let build = plugins.backbones.get(&config.backbone.kind)?.build;
    let init = Init::new(0, &Device::flex());
    Ok((build.init)(&config.backbone, &config.backbone_spec(plugins, data), &init)?)
}
