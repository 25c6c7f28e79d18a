//! The runs of a suite.

use super::{run_spec::RunSpec, tuning_plan::Tuning};

/// A suite that was read, with the runs that are asked for.
pub(crate) struct SuitePlan {
    /// The name under which results are kept.
    pub(crate) name: String,
    /// What the table is headed with.
    pub(crate) title: String,
    /// All runs asked for, seed by seed; none yet where settings are to be chosen first.
    pub(crate) specs: Vec<RunSpec>,
    /// What is tried before, if the suite tunes its methods.
    pub(crate) tuning: Option<Tuning>,
}

impl SuitePlan {
    /// The runs that are certain already: those that try settings, or else those asked for.
    pub(crate) fn planned(&self) -> Vec<&RunSpec> {
        match &self.tuning {
            Some(tuning) => tuning.trials(),
            None => self.specs.iter().collect(),
        }
    }
}
