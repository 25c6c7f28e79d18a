//! One run: everything that determines its numbers, and its labels in tables.

use std::sync::Arc;

use moe::Placement;
use serde_json::{Value, json};
use tasks::{DataDigest, Task};

use super::{budget::BudgetOutcome, run_config::RunConfig, tuned::Tuned};

/// One run of a suite: a method, a task, a seed.
#[derive(Clone)]
pub(crate) struct RunSpec {
    /// The name of its row in the table.
    pub(crate) method: String,
    pub(crate) seed: u64,
    pub(crate) config: RunConfig,
    /// The task as it is loaded; `ModelBuilder::task_for` makes the one that the run learns.
    pub(crate) data: Arc<dyn Task>,
    /// The digest of the files and embedded sets that the task is made from.
    pub(crate) digest: DataDigest,
    /// The note in tables on the run; often empty.
    pub(crate) note: String,
    /// The reason why it is not trained, if any.
    pub(crate) refused: Option<String>,
    /// The run from which it starts.
    pub(crate) from: Option<Box<RunSpec>>,
    /// The runs from which it takes weights, in the order of the parts in its config.
    pub(crate) parts: Vec<RunSpec>,
    /// The run from whose network it learns.
    pub(crate) teacher: Option<Box<RunSpec>>,
    /// The run whose confusions determine its groups.
    pub(crate) confusion_run: Option<Box<RunSpec>>,
    /// Its budget, if the suite holds something equal.
    pub(crate) budget: Option<BudgetOutcome>,
    /// Whether it is a trial of a setting, which is not evaluated on the test split.
    pub(crate) trial: bool,
    /// The setting that was chosen for it, or the mark that the suite states its setting.
    pub(crate) tuned: Option<Tuned>,
    /// Hash of config, seed and code: the name of its folder.
    pub(crate) id: String,
}

impl RunSpec {
    /// The kind of its router; `none` for a network without MoE layers.
    pub(crate) fn router(&self) -> &str {
        if self.config.moe.layers == Placement::NONE {
            "none"
        } else {
            &self.config.moe.router.kind
        }
    }

    /// The run whose training made its network: itself, or, without steps of its own, the run from which it
    /// starts.
    pub(crate) fn trained(&self) -> &RunSpec {
        match &self.from {
            Some(from) if self.config.train.steps == 0 => from.trained(),
            _ => self,
        }
    }

    /// The setting that trials chose for it.
    pub(crate) fn chosen(&self) -> Option<&Tuned> {
        self.tuned.as_ref().filter(|tuned| !tuned.is_stated())
    }

    /// The runs that have to be trained before it.
    pub(crate) fn prerequisites(&self) -> impl Iterator<Item = &RunSpec> {
        let one = self.from.iter().chain(&self.teacher).chain(&self.confusion_run);
        one.map(|spec| &**spec).chain(&self.parts)
    }

    /// The content of `config.json`.
    pub(crate) fn description(&self) -> Value {
        json!({ "method": self.method, "seed": self.seed, "config": self.config, "budget": self.budget,
                "data": self.digest })
    }
}
