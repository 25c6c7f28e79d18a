//! One analysis per file: each takes runs and returns a value that can be rendered.

mod baseline;
mod check;
mod claim;
mod claim_table;
mod cmp;
mod cmp_table;
mod compare_to_baseline;
mod comparison;
mod fit;
mod gate;
mod gate_table;
mod ledger;
mod power;
mod rank;
mod rank_table;

pub(crate) use baseline::{Baseline, differences_to_baseline};
pub use check::{CheckOutcome, Expect, check, check_table};
pub use claim::{COSTS, Claim, ClaimEvidence, Finding, OtherGain, Tested, claims, correct};
pub use claim_table::claims_table;
pub use cmp::{cmp, render_cmp};
pub use cmp_table::cmp_table;
pub use compare_to_baseline::compare_to_baseline;
pub use comparison::Comparison;
pub use fit::{Best, Fit, fit};
pub use gate::{
    GateCondition, Gated, LATE_CHANGE, RATE_AT_EDGE, RATES_TRIED, SuiteGate, TRIVIAL, gates,
};
pub use gate_table::{SuiteConditions, conditions_table, gates_table};
pub use ledger::ledger;
pub(crate) use ledger::{ledger_html, spans};
pub use power::power;
pub(crate) use rank::{Detail, rank_in};
pub use rank::{Ranked, Ranking, rank};
