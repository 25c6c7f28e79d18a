//! The columns of `runs.csv`.

/// The documented columns, in the order in which they are written. A file may have them in any order, and
/// additional ones; the columns from `note` on may be left out.
pub const COLUMNS: [&str; 29] = [
    "suite",
    "task",
    "backbone",
    "method",
    "router",
    "seed",
    "split",
    "metric",
    "value",
    "step",
    "params",
    "active_params",
    "flops_per_token",
    "seconds",
    "device",
    "revision",
    "run",
    "note",
    "router_params",
    "tokens",
    "train_flops",
    "peak_memory",
    "budget",
    "budget_off",
    "budget_limit",
    "trials",
    "tuned",
    "lr",
    "batch",
];

/// The columns that every file has.
pub(crate) const NEEDED: &[&str] = COLUMNS.split_at(17).0;
