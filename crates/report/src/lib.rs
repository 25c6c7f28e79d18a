//! From csv to statistics, tables, plots and a page.
//!
//! The only input is a tidy csv with the [`COLUMNS`], one number a row ([`Runs`]), from this or any other
//! program. This crate trains nothing, prints nothing and does not depend on Burn: it returns values and
//! text.
//!
//! ```
//! use report::{Query, Format, Runs, comparison, render};
//! let csv = "suite,task,backbone,method,router,seed,split,metric,value,step,params,active_params,\
//!            flops_per_token,seconds,device,revision,run\n\
//!            s,digits,vit,switch,switch,0,test,accuracy,0.97,400,61450,24586,49172,9.5,cpu,cafe,r0\n";
//! let runs = Runs::parse("runs.csv", csv.as_bytes())?;
//! let tables = comparison(&runs, &Query::default())?;
//! assert!(render(&tables, Format::Text).contains("0.970 (1, no interval)"));
//! # Ok::<(), report::Error>(())
//! ```
//!
//! | topic | function | result |
//! | --- | --- | --- |
//! | quality and cost of each method | [`comparison`] | a [`Table`] for each setting |
//! | the difference of two methods | [`cmp`] | [`Comparison`]s; [`render_cmp`] |
//! | ranks over all tasks | [`rank`] | a [`Ranking`] |
//! | the number of seeds needed to detect a difference | [`power`] | a [`Table`] for each setting and metric |
//! | results against expectations | [`check`] | [`CheckOutcome`]s; [`check_table`] |
//! | claims of papers | [`claims`] | a [`Tested`] each; [`claims_table`] |
//! | the best rate and batch by FLOPs | [`fit`] | a [`Fit`] for each setting |
//! | the budget of each method | [`ledger`] | a [`Table`] |
//! | all of it | [`page`] | one HTML file; more data in a [`Page`] |
//! | its plots | [`plots`] | a [`Figure`] each, SVG |
//!
//! [`trace`]s record the routing of single units; [`analysis`] has the analyses of traces.
//!
//! A [`Query`] selects metrics, split and methods. Runs of two code revisions are compared only if it
//! allows that. A [`Table`] has five [`Format`]s ([`render`]); [`splice`] inserts one
//! into a page. The statistics are in [`stats`], the figures in [`plot`].

pub mod analysis;
mod best;
mod budget;
mod columns;
mod comparison;
mod error;
mod examples;
mod few;
mod field;
#[cfg(test)]
mod fixture;
mod metric;
mod number;
mod page;
mod pairs;
pub mod plot;
mod query;
mod row;
mod runs;
mod searches;
mod series;
mod setting;
mod splice;
pub mod stats;
mod table;
pub mod tensorboard;
pub mod trace;
mod verbs;
mod visible;
mod wrapped;

pub use columns::COLUMNS;
pub use comparison::comparison;
pub use error::Error;
pub use examples::{ExampleRow, ExampleScores};
pub use few::few;
pub use metric::{Better, direction};
pub use page::{Page, page, page_into, plots, trace_figures};
pub use plot::Figure;
pub use query::Query;
pub use row::Row;
pub use runs::Runs;
pub use series::{Curve, Line, Load};
pub use setting::{Scores, Setting};
pub use splice::splice;
pub use table::{Cell, Column, Estimate, Format, Kind, NumberForm, Table, markdown_text, render};
pub use verbs::{
    Best, COSTS, CheckOutcome, Claim, ClaimEvidence, Comparison, Expect, Finding, Fit,
    GateCondition, Gated, LATE_CHANGE, OtherGain, RATE_AT_EDGE, RATES_TRIED, Ranked, Ranking,
    SuiteConditions, SuiteGate, TRIVIAL, Tested, check, check_table, claims, claims_table, cmp,
    cmp_table, compare_to_baseline, conditions_table, correct, fit, gates, gates_table, ledger,
    power, rank, render_cmp,
};
pub use visible::visible;
pub use wrapped::wrapped;
