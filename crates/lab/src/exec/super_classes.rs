//! Super-classes: the classes of a task in groups, for example as many groups as a run has experts.
//!
//! Daxberger et al. *Mobile V-MoEs*. 2023. <https://arxiv.org/abs/2309.04354>, section 3.2: classes that a
//! dense network confuses go to the same expert. `groups.json` has the groups of a run and their modularity
//! in the graph of confusions.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use moe::stable_hash;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tasks::{Grouped, Split, Task};
use training::{confusion, confusion_graph, modularity_clusters};

use super::model_builder::ModelBuilder;
use crate::{
    spec::{By, RunSpec},
    store::read_json,
};

/// The groups of a run: `groups.json`.
#[derive(PartialEq, Serialize, Deserialize)]
struct Groups {
    /// The group of each class.
    of: Vec<usize>,
    /// The modularity in the graph of confusions, if the groups come from it.
    modularity: Option<f64>,
}

impl ModelBuilder<'_> {
    /// The task that a run learns: its data, with the splits of its seed if they depend on the seed, and with
    /// its groups if it has some.
    pub(crate) fn task_for(&self, spec: &RunSpec) -> anyhow::Result<Arc<dyn Task>> {
        let data = match spec.data.as_folded() {
            Some(folded) => folded.of_seed(spec.seed),
            None => spec.data.clone(),
        };
        let Some(config) = &spec.config.groups else { return Ok(data) };
        let random = || random_groups(spec.data.outputs(), config.count, spec.seed);
        let groups = match (config.by, &spec.confusion_run) {
            (By::Confusion, Some(confusion_run)) => {
                self.by_confusion(confusion_run, config.count)?
            }
            // A run that was read from its folder has groups, but not the run whose confusions determined
            // them.
            (By::Confusion, None) => self.known(spec)?.context("its groups.json is missing")?,
            (By::Random, _) => Groups { of: random(), modularity: None },
            (By::Task, _) => {
                let of = spec.data.as_clustered().and_then(|task| task.super_classes());
                let of = of.map_or_else(random, <[usize]>::to_vec);
                Groups { of, modularity: None }
            }
        };
        self.store.write(&spec.id, "groups.json", &groups)?;
        Ok(Arc::new(Grouped::new(data, groups.of)))
    }

    /// The groups of a run that already has them, or of the run that it starts from.
    fn known(&self, spec: &RunSpec) -> anyhow::Result<Option<Groups>> {
        let runs = [Some(spec), spec.from.as_deref()];
        for run in runs.into_iter().flatten() {
            if let Some(known) = read_json(&self.store.folder(&run.id), "groups.json")? {
                return Ok(Some(known));
            }
        }
        Ok(None)
    }

    fn by_confusion(&self, confusion_run: &RunSpec, count: usize) -> anyhow::Result<Groups> {
        let (model, _) = self.trained(confusion_run)?;
        let data = self.task_for(confusion_run)?;
        let counts = confusion(&model, &*data, Split::Valid, self.device);
        let found =
            modularity_clusters(&confusion_graph(&counts), count).map_err(|err| anyhow!(err))?;
        Ok(Groups { of: found.of, modularity: Some(found.modularity) })
    }
}

/// Random groups whose sizes differ by at most one class.
fn random_groups(classes: usize, count: usize, seed: u64) -> Vec<usize> {
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
        let groups = random_groups(10, 4, 3);
        let sizes: Vec<usize> =
            (0..4).map(|group| groups.iter().filter(|of| **of == group).count()).collect();
        assert_eq!(sizes, [3, 3, 2, 2]);
        assert_eq!(groups, random_groups(10, 4, 3));
        assert_ne!(groups, random_groups(10, 4, 4));
    }
}
