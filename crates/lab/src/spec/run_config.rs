//! The config of a run, with every default written out.

use backbones::BackboneSpec;
use moe::{Choice, ConfigError, Domain, MoeConfig, Placement};
use pruning::UpcycleConfig;
use serde::{Deserialize, Serialize};
use tasks::Task;
use training::{DistillConfig, FewShot, TrainConfig};

use super::prune::PruneConfig;
use crate::Plugins;

/// The config of one run. Settings that a suite leaves out have their defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The task.
    pub task: Choice,
    /// The network.
    pub backbone: Choice,
    /// Its MoE layers.
    #[serde(default)]
    pub moe: MoeConfig,
    /// Budget and optimizer.
    #[serde(default)]
    pub train: TrainConfig,
    /// The run from which it starts: with the final weights of that run. In a suite, `from` has the changes
    /// relative to the run's own settings. None means random weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Box<RunConfig>>,
    /// The checkpoint of another framework that provides the weights. In a suite it is `from.checkpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointConfig>,
    /// The pruning of experts from the network with which the run starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prune: Option<PruneConfig>,
    /// The initial weights of experts that are made of the dense networks of the run from which it starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upcycle: Option<UpcycleConfig>,
    /// If given, the network is evaluated by a separate linear head, fitted to a few examples of each class.
    /// Such a run has no steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub few_shot: Option<FewShot>,
    /// The runs from which it takes weights, part by part. In a suite they are methods named earlier.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartConfig>,
    /// The run from whose network it learns in addition to the task. In a suite it is a method named earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<Box<RunConfig>>,
    /// The distillation from the teacher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distill: Option<DistillConfig>,
    /// Super-classes of the task's classes, which routers may use as clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<GroupsConfig>,
}

impl RunConfig {
    /// The reason why the network may not be used for the task, if any: it is not causal.
    pub(crate) fn refusal(
        &self,
        plugins: &Plugins,
        task: &dyn Task,
    ) -> Result<Option<&'static str>, ConfigError> {
        if !task.causal() {
            return Ok(None);
        }
        let network = plugins.backbones.get(&self.backbone.kind)?.build.causal;
        let layers = plugins.library.causal(&self.moe)?;
        Ok((!network || !layers).then_some("sees later tokens"))
    }

    /// Whether several processes split its experts.
    pub(crate) fn splits_experts(&self) -> bool {
        self.moe.expert_parallel && self.moe.layers != Placement::NONE
    }

    /// The note in tables on the router for this task, on the task, and on the data of its scores; often
    /// empty.
    pub(crate) fn note(&self, plugins: &Plugins, task: &dyn Task) -> Result<String, ConfigError> {
        let routed = self.moe.layers != Placement::NONE;
        let of_router = match task.domain() {
            Domain::Image { .. } if routed => {
                plugins.library.routers.get(&self.moe.router.kind)?.build.on_images
            }
            _ => "",
        };
        let scores = task.as_translation().map_or_else(Vec::new, |task| task.signatures());
        let notes = [of_router, task.note()].map(String::from).into_iter().chain(scores);
        Ok(notes.filter(|note| !note.is_empty()).collect::<Vec<_>>().join("; "))
    }

    /// The inputs, outputs and MoE layers of the network.
    pub(crate) fn backbone_spec<'a>(
        &'a self,
        plugins: &'a Plugins,
        task: &dyn Task,
    ) -> BackboneSpec<'a> {
        BackboneSpec {
            domain: task.domain(),
            outputs: task.outputs(),
            moe: &self.moe,
            library: &plugins.library,
        }
    }
}

/// A checkpoint of another framework.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointConfig {
    /// Its folder.
    pub folder: String,
    /// The digest of its config and tensors.
    pub sha256: String,
    /// Whether runs that start from it may leave out a part of it, and may have parameters that it does not
    /// set.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
}

/// A part of another run's network, and its place in the new network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartConfig {
    /// The run that has the part.
    pub of: Box<RunConfig>,
    /// The path of the part in that run, `module`; empty for the whole network.
    #[serde(default)]
    pub take: String,
    /// The path of the part in this run, `meta`; empty for the whole network.
    #[serde(default)]
    pub into: String,
}

/// The origin of the groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// The confusions of another run on the validation split.
    #[default]
    Confusion,
    /// Random groups of equal sizes, drawn by the run's seed. A control.
    Random,
    /// The task's own super-classes.
    Task,
}

/// The number of groups, and their origin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupsConfig {
    /// The number of groups.
    pub count: usize,
    /// The origin of the groups.
    #[serde(default)]
    pub by: By,
    /// The run whose confusions determine the groups. In a suite, `of` has the changes relative to the run's
    /// own settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Box<RunConfig>>,
}

impl GroupsConfig {
    /// Checks that the classes of a task can be grouped in this way.
    pub(crate) fn check(&self, task: &dyn Task) -> Result<(), String> {
        let (count, classes) = (self.count, task.outputs());
        if count == 0 || count > classes {
            return Err(format!(
                "count = {count}: must be from 1 to {classes}, the task's classes"
            ));
        }
        match (self.by, &self.of) {
            (By::Confusion, None) => {
                Err("by = \"confusion\": `of`, the run that makes the confusions, is not set"
                    .into())
            }
            (By::Random | By::Task, Some(_)) => Err("of: only for by = \"confusion\"".into()),
            (By::Task, None) => match task.as_clustered().and_then(|task| task.super_classes()) {
                Some(groups) if groups.iter().all(|group| *group < count) => Ok(()),
                Some(_) => Err(format!("count = {count}: the task has more super-classes")),
                None => Err("by = \"task\": the task has no super-classes".into()),
            },
            _ => Ok(()),
        }
    }
}
