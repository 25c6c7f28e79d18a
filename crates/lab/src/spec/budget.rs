//! What is held equal between the methods of a task, and the budget of each run.

use serde::{Deserialize, Serialize};

/// What is held equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Equal {
    /// Those of one forward pass, for one token.
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
    /// In words, for tables.
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
    /// What is held equal.
    pub(crate) equal: Equal,
    /// How far it may be off.
    pub(crate) tolerance: f64,
    /// Whose budget it is.
    pub(crate) reference: String,
    /// The budget; none where it can only be measured.
    pub(crate) target: Option<f64>,
    /// The size that gave way: its path, what it was and what it is.
    pub(crate) solved: Option<(String, u64, u64)>,
    /// How far it is off, as far as it is known before training.
    pub(crate) off: Option<f64>,
}

impl BudgetOutcome {
    /// What is held equal, in one line.
    pub(crate) fn title(&self) -> String {
        let Self { equal, tolerance, reference, .. } = self;
        let percent = 100.0 * tolerance;
        format!("Held equal: {}, within {percent} % of {reference}", equal.words())
    }
}
