//! Suites, runs, budgets and trials as plain data.

mod budget;
mod program;
mod prune;
mod run_config;
mod run_spec;
mod selection;
mod suite;
mod suite_plan;
mod tuned;
mod tuning_plan;

pub(crate) use budget::{BudgetOutcome, Equal};
pub use program::Program;
pub use prune::PruneConfig;
pub use run_config::{By, CheckpointConfig, GroupsConfig, PartConfig, RunConfig};
pub(crate) use run_spec::RunSpec;
pub(crate) use selection::{LAPTOP, Selection, shorter};
pub use suite::Suite;
pub(crate) use suite_plan::SuitePlan;
pub(crate) use tuned::Tuned;
pub(crate) use tuning_plan::{Candidate, Group, Halving, TuningPlan, once};
