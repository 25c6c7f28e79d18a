//! One question a file: each reads runs and answers with a value that can be rendered.

mod check;
mod claim;
mod cmp;
mod cmp_table;
mod compare_to_baseline;
mod fit;
mod ledger;
mod power;
mod rank;
mod rank_table;

pub use check::{Expect, Outcome, check, check_table};
pub use claim::{Claim, Finding, Tested, claims, claims_table};
pub use cmp::{Comparison, cmp, render_cmp};
pub use cmp_table::cmp_table;
pub(crate) use compare_to_baseline::against_in;
pub use compare_to_baseline::compare_to_baseline;
pub use fit::{Best, Fit, fit};
pub use ledger::ledger;
pub(crate) use ledger::ledger_of;
pub use power::power;
pub(crate) use rank::rank_in;
pub use rank::{Ranked, Ranking, rank};
