//! The runs of a suite, and which of them are meant.

use std::sync::Arc;

use anyhow::{bail, ensure};
use moe::Placement;
use serde_json::{Value, json};
use tasks::Task;

use crate::{RunConfig, budget::BudgetOutcome};

/// One run of a suite: a method, a task, a seed.
#[derive(Clone)]
pub(crate) struct RunSpec {
    /// The name of its row in the table.
    pub(crate) method: String,
    pub(crate) seed: u64,
    pub(crate) config: RunConfig,
    /// The task as it is loaded; `ModelBuilder::task_for` makes the one that the run learns.
    pub(crate) data: Arc<dyn Task>,
    /// Why it is not trained, if so.
    pub(crate) refused: Option<String>,
    /// The run that it starts from.
    pub(crate) from: Option<Box<RunSpec>>,
    /// The run whose confusions make its groups.
    pub(crate) confused: Option<Box<RunSpec>>,
    /// What it is given, if the suite holds something equal.
    pub(crate) budget: Option<BudgetOutcome>,
    /// Is it there to choose a setting? Then it does not see the test split.
    pub(crate) trial: bool,
    /// The setting that was chosen for it, and among how many.
    pub(crate) tuned: Option<(String, usize)>,
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

    /// The runs that come before it.
    pub(crate) fn before(&self) -> impl Iterator<Item = &RunSpec> {
        self.from.iter().chain(&self.confused).map(|cell| &**cell)
    }

    /// All that its folder should say about it.
    pub(crate) fn description(&self) -> Value {
        json!({ "method": self.method, "seed": self.seed, "config": self.config, "budget": self.budget })
    }
}

/// Two runs of one name on tasks and networks of one kind would share a row of the table, however
/// else they differ.
pub(crate) fn distinct_methods(cells: &[RunSpec]) -> anyhow::Result<()> {
    let row = |cell: &RunSpec| {
        let (task, backbone) = (&cell.config.task.kind, &cell.config.backbone.kind);
        (cell.method.clone(), task.clone(), backbone.clone())
    };
    for (i, cell) in cells.iter().enumerate() {
        let (method, task, backbone) = row(cell);
        ensure!(
            !cells[..i].iter().any(|other| row(other) == row(cell)),
            "two methods are named {method:?} on {task} and {backbone}; give one of them another \
             name, or put the tasks into two suites"
        );
    }
    Ok(())
}

/// The runs that have all of the properties.
pub(crate) fn only(mut cells: Vec<RunSpec>, wanted: &[String]) -> anyhow::Result<Vec<RunSpec>> {
    for text in wanted {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        let property: fn(&RunSpec) -> String = match key {
            "method" => |cell| cell.method.clone(),
            "router" => |cell| cell.router().to_string(),
            "task" => |cell| cell.config.task.kind.clone(),
            "backbone" => |cell| cell.config.backbone.kind.clone(),
            "seed" => |cell| cell.seed.to_string(),
            _ => bail!(
                "--only {text}: it is key=value; known keys: method, router, task, backbone, seed"
            ),
        };
        let known = distinct(cells.iter().map(property));
        cells.retain(|cell| property(cell) == value);
        ensure!(!cells.is_empty(), "--only {text}: there is none; known: {}", known.join(", "));
    }
    Ok(cells)
}

/// Each value once, in order of appearance.
pub(crate) fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for value in values {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    seen
}
