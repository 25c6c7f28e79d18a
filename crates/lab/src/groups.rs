//! Super-classes: a task's classes in as many groups as a run has experts, say.
//!
//! Daxberger et al. *Mobile V-MoEs*. 2023. <https://arxiv.org/abs/2309.04354>, section 3.2: classes
//! that a dense network takes for each other are for the same expert. `groups.json` says which groups
//! a run had, and their modularity in the graph of confusions.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use moe::stable_hash;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tasks::{Grouped, Split, Task};
use training::{communities, confusion, confusion_graph};

use crate::{
    RunConfig,
    run_spec::RunSpec,
    start::{ModelBuilder, read},
};

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

/// The groups of a run: `groups.json`.
#[derive(Serialize, Deserialize)]
struct Groups {
    /// The group of each class.
    of: Vec<usize>,
    /// In the graph of confusions, if that made them.
    modularity: Option<f64>,
}

impl ModelBuilder<'_> {
    /// The task that a run learns: its data, with its groups if it has some.
    pub(crate) fn task_for(&self, cell: &RunSpec) -> anyhow::Result<Arc<dyn Task>> {
        let Some(config) = &cell.config.groups else { return Ok(cell.data.clone()) };
        let lot = || by_lot(cell.data.outputs(), config.count, cell.seed);
        let groups = match (config.by, &cell.confused) {
            (By::Confusion, Some(confused)) => self.by_confusion(confused, config.count)?,
            // A run that was found in its folder has no other run beside it, but what came of it.
            (By::Confusion, None) => {
                self.known(cell)?.context("its groups are not known any more")?
            }
            (By::Random, _) => Groups { of: lot(), modularity: None },
            (By::Task, _) => {
                let of = cell.data.super_classes().map_or_else(lot, <[usize]>::to_vec);
                Groups { of, modularity: None }
            }
        };
        self.store.write(&cell.id, "groups.json", &groups)?;
        Ok(Arc::new(Grouped::new(cell.data.clone(), groups.of)))
    }

    /// The groups that a run has had, or the run that it starts from.
    fn known(&self, cell: &RunSpec) -> anyhow::Result<Option<Groups>> {
        let runs = [Some(cell), cell.from.as_deref()];
        for run in runs.into_iter().flatten() {
            if let Some(known) = read(&self.store.folder(&run.id), "groups.json")? {
                return Ok(Some(known));
            }
        }
        Ok(None)
    }

    fn by_confusion(&self, confused: &RunSpec, count: usize) -> anyhow::Result<Groups> {
        let (model, _) = self.trained(confused)?;
        let counts = confusion(&model, &*confused.data, Split::Valid, self.device);
        let found = communities(&confusion_graph(&counts), count).map_err(|err| anyhow!(err))?;
        Ok(Groups { of: found.of, modularity: Some(found.modularity) })
    }
}

/// Groups that differ by one class in size at most.
fn by_lot(classes: usize, count: usize, seed: u64) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(stable_hash(&format!("groups/{seed}")));
    let mut groups: Vec<usize> = (0..classes).map(|class| class % count).collect();
    groups.shuffle(&mut rng);
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lots_make_equal_groups_that_follow_from_the_seed() {
        let groups = by_lot(10, 4, 3);
        let sizes: Vec<usize> =
            (0..4).map(|group| groups.iter().filter(|of| **of == group).count()).collect();
        assert_eq!(sizes, [3, 3, 2, 2]);
        assert_eq!(groups, by_lot(10, 4, 3));
        assert_ne!(groups, by_lot(10, 4, 4));
    }
}
