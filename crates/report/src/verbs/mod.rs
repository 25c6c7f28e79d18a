//! One question a file: each reads runs and answers with a value that can be rendered.

mod against;
mod check;
mod cmp;
mod ledger;
mod power;
mod rank;

pub use against::against;
pub use check::{Expect, Outcome, check, check_table};
pub use cmp::{Comparison, cmp, cmp_table, render_cmp};
pub use ledger::ledger;
pub use power::power;
pub use rank::{Ranked, Ranking, rank};
