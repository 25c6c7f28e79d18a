//! The trials of a suite that tunes its methods.

use std::collections::HashSet;

use report::Better;
use serde::Deserialize;

use super::run_spec::RunSpec;

/// The trials of a suite, and the runs from which they choose.
pub(crate) struct TuningPlan {
    pub(crate) groups: Vec<Group>,
    pub(crate) halving: Halving,
}

/// The settings of one method for one task.
pub(crate) struct Group {
    pub(crate) metric: String,
    pub(crate) better: Better,
    pub(crate) halving: Halving,
    pub(crate) options: Vec<Candidate>,
}

impl Group {
    /// The name of the method to which the settings belong.
    pub(crate) fn method(&self) -> Option<&str> {
        self.options.iter().find_map(Candidate::any).map(|spec| spec.method.as_str())
    }
}

/// A setting, the runs that try it on each rung, and the runs that are trained if it is chosen.
pub(crate) struct Candidate {
    pub(crate) text: String,
    pub(crate) rungs: Vec<Vec<RunSpec>>,
    pub(crate) finals: Vec<RunSpec>,
}

impl Candidate {
    /// One of its runs: the first that is trained if it is chosen, or else the first that tries it.
    pub(crate) fn any(&self) -> Option<&RunSpec> {
        self.finals.first().or_else(|| self.rungs.first()?.first())
    }
}

impl TuningPlan {
    /// The settings of each method and task, as text.
    #[cfg(test)]
    pub(crate) fn texts(&self) -> Vec<Vec<String>> {
        let text = |group: &Group| group.options.iter().map(|option| option.text.clone()).collect();
        self.groups.iter().map(text).collect()
    }

    /// The runs of the first rung.
    pub(crate) fn trials(&self) -> Vec<&RunSpec> {
        let options = self.groups.iter().flat_map(|group| &group.options);
        once(options.flat_map(|option| option.rungs.first()).flatten())
    }

    /// All runs of all settings: those that try them, on each rung, and those that are trained if they are
    /// chosen.
    pub(crate) fn possible(&self) -> Vec<&RunSpec> {
        let options = self.groups.iter().flat_map(|group| &group.options);
        once(options.flat_map(|option| option.rungs.iter().flatten().chain(&option.finals)))
    }

    /// The number of rungs.
    pub(crate) fn rungs(&self) -> usize {
        self.halving.rungs as usize
    }
}

/// The distinct runs: methods that start `after` one share its trials.
pub(crate) fn once<'a>(specs: impl IntoIterator<Item = &'a RunSpec>) -> Vec<&'a RunSpec> {
    let mut seen = HashSet::new();
    specs.into_iter().filter(|spec| seen.insert(spec.id.as_str())).collect()
}

/// Successive halving: the number of rungs, and the share of the settings that advances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Halving {
    /// The number of rungs; 1 means that all settings are trained in full.
    pub(crate) rungs: u32,
    #[serde(default = "two")]
    pub(crate) factor: usize,
}

pub(crate) fn two() -> usize {
    2
}

impl Default for Halving {
    fn default() -> Self {
        Self { rungs: 1, factor: two() }
    }
}

impl Halving {
    /// The number of settings, of `n`, that advance to the next rung.
    pub(crate) fn left(self, n: usize) -> usize {
        n.div_ceil(self.factor)
    }

    /// The number of steps on a rung, of `all` steps of a whole run; at least one.
    pub(crate) fn steps(self, all: usize, rung: u32) -> usize {
        (all / self.share(rung)).max(1)
    }

    /// The ratio of the steps of a whole run to those of a run on this rung.
    fn share(self, rung: u32) -> usize {
        self.factor.saturating_pow(self.rungs.saturating_sub(rung + 1))
    }
}
