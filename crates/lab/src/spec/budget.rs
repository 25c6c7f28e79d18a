//! Budgets: the quantity that is equal for the methods of a task, and its value for each run.

use serde::{Deserialize, Serialize};

/// The quantity that is equal for all methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Equal {
    /// Floating-point operations of one forward pass, per token.
    ActiveFlops,
    /// All parameters.
    Params,
    /// Steps of the optimizer.
    Steps,
    /// Tokens seen in training.
    Tokens,
    /// Seconds spent in training steps.
    WallTime,
}

impl Equal {
    /// The name of the quantity in tables.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Equal::ActiveFlops => "active FLOPs per token",
            Equal::Params => "parameters",
            Equal::Steps => "steps",
            Equal::Tokens => "tokens",
            Equal::WallTime => "seconds of training",
        }
    }
}

/// The budget of a run, and the size that was solved for it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BudgetOutcome {
    /// The quantity that is equal for all methods.
    pub(crate) equal: Equal,
    /// The allowed relative deviation.
    pub(crate) tolerance: f64,
    /// The method that defines the budget.
    pub(crate) reference: String,
    /// The budget; none if it can only be measured.
    pub(crate) target: Option<f64>,
    /// The size that was solved for: its path, its old and its new value.
    pub(crate) solved: Option<(String, u64, u64)>,
    /// The relative deviation from the budget, as far as it is known before training.
    pub(crate) off: Option<f64>,
}

impl BudgetOutcome {
    /// The budget in one line.
    pub(crate) fn title(&self) -> String {
        let Self { equal, tolerance, reference, .. } = self;
        let percent = 100.0 * tolerance;
        format!("Held equal: {}, within {percent} % of {reference}", equal.words())
    }
}
