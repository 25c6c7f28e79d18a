//! The runs of a suite.

use super::{budget::BudgetOutcome, run_spec::RunSpec, tuning_plan::TuningPlan};

/// A suite that was read, with the selected runs.
pub(crate) struct SuitePlan {
    /// The name under which results are kept.
    pub(crate) name: String,
    /// The title of the table.
    pub(crate) title: String,
    /// Whether its claims have conditions, `[[gate]]`, which need more numbers of each run.
    pub(crate) gated: bool,
    /// The digest of the registration of its claims, if they are registered.
    pub(crate) registration: Option<String>,
    /// The selected runs, seed by seed; empty if settings are to be chosen first.
    pub(crate) specs: Vec<RunSpec>,
    /// The tuning plan, if the suite tunes its methods.
    pub(crate) tuning: Option<TuningPlan>,
}

impl SuitePlan {
    /// The runs that are known before training: trials if settings are to be chosen, else the selected
    /// runs.
    pub(crate) fn planned(&self) -> Vec<&RunSpec> {
        match &self.tuning {
            Some(tuning) => tuning.trials(),
            None => self.specs.iter().collect(),
        }
    }

    /// All runs that may be trained: if settings are to be chosen, the runs of every setting.
    pub(crate) fn possible(&self) -> Vec<&RunSpec> {
        match &self.tuning {
            Some(tuning) => tuning.possible(),
            None => self.specs.iter().collect(),
        }
    }

    /// The budget that the methods share, if there is one.
    pub(crate) fn budget(&self) -> Option<&BudgetOutcome> {
        self.planned().into_iter().find_map(|spec| spec.budget.as_ref())
    }
}
