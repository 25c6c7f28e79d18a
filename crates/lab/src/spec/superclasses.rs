//! How a task's classes are put into super-classes.

use serde::{Deserialize, Serialize};
use tasks::Task;

use super::run_config::RunConfig;

/// What makes the groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// Which classes another run takes for which, on the validation split.
    #[default]
    Confusion,
    /// Lot: groups of equal sizes, by the run's seed. A control.
    Random,
    /// The task's own super-classes.
    Task,
}

/// How many groups, and what makes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupsConfig {
    /// How many groups.
    pub count: usize,
    /// What makes them.
    #[serde(default)]
    pub by: By,
    /// The run whose confusions count. In a suite it is what `of` changes of the run's own settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Box<RunConfig>>,
}

impl GroupsConfig {
    /// Can the classes of a task be put into groups like this?
    pub(crate) fn check(&self, task: &dyn Task) -> Result<(), String> {
        let (count, classes) = (self.count, task.outputs());
        if count == 0 || count > classes {
            return Err(format!("count = {count}: it is from 1 to {classes}, the task's classes"));
        }
        match (self.by, &self.of) {
            (By::Confusion, None) => {
                Err("by = \"confusion\": `of` says which run's confusions count".into())
            }
            (By::Random | By::Task, Some(_)) => Err("of: it is for by = \"confusion\"".into()),
            (By::Task, None) => match task.super_classes() {
                Some(groups) if groups.iter().all(|group| *group < count) => Ok(()),
                Some(_) => Err(format!("count = {count}: the task has more super-classes")),
                None => Err("by = \"task\": the task has no super-classes".into()),
            },
            _ => Ok(()),
        }
    }
}
