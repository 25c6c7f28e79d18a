//! From csv to statistics, tables, plots and a page.
//!
//! The only input is the tidy csv that every run adds to ([`Runs`], one number a row); any csv
//! with the [`COLUMNS`] will do, also one that was not made here. This crate trains nothing,
//! prints nothing and does not know the network library: it returns values and text.
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
//! | the number of seeds that a difference takes | [`power`] | a [`Table`] for each setting and metric |
//! | results against expectations | [`check`] | [`CheckOutcome`]s; [`check_table`] |
//! | claims of papers | [`claims`] | a [`Tested`] each; [`claims_table`] |
//! | the best rate and batch by FLOPs | [`fit`] | a [`Fit`] for each setting |
//! | the budget of each method | [`ledger`] | a [`Table`] |
//! | all of it | [`page`] | one HTML file; more data in a [`Page`] |
//! | its plots | [`plots`] | a [`Figure`] each, SVG |
//!
//! How networks route single units is in [`trace`]s, and what can be learnt from them in
//! [`analysis`].
//!
//! What is asked about is an [`Query`]: metrics, split, methods. Runs of two code revisions are not
//! compared unless it says so. A [`Table`] has five [`Format`]s ([`render`]); [`splice`] puts one
//! into a README. The statistics are in [`stats`], the figures in [`plot`].

pub mod analysis;
mod best;
mod budget;
mod comparison;
mod error;
mod examples;
mod file;
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
mod series;
mod setting;
mod splice;
pub mod stats;
mod table;
pub mod tensorboard;
pub mod trace;
mod verbs;
mod visible;

pub use comparison::comparison;
pub use error::Error;
pub use examples::{ExampleRow, Examples};
pub use metric::{Better, direction};
pub use page::{Figure, Page, page, plots, trace_figures};
pub use query::Query;
pub use row::{COLUMNS, Row};
pub use runs::Runs;
pub use series::{Curve, Line, Load};
pub use setting::{Scores, Setting};
pub use splice::splice;
pub use table::{Cell, Column, Digits, Estimate, Format, Kind, Table, markdown_text, render};
pub use verbs::{
    Best, CheckOutcome, Claim, Comparison, Expect, Finding, Fit, Gate, GateCondition, Gated,
    LATE_CHANGE, Measured, RATE_AT_EDGE, RATES_TRIED, Ranked, Ranking, TRIVIAL, Tested, against,
    check, check_table, claims, claims_table, cmp, cmp_table, fit, gates, gates_table, ledger,
    power, rank, render_cmp,
};
pub use visible::visible;
