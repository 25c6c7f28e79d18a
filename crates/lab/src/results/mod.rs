//! Rows, curves and pages of finished runs.

mod conditions;
mod curves;
mod example_rows;
mod found;
mod page;
mod publish;
mod rows;
mod search_rows;
pub(crate) mod timing;
mod trials;

pub use found::committed;
pub(crate) use found::{Results, ResultsLookup};
pub(crate) use page::page_of;
pub(crate) use publish::{Publication, may_be_published, released};
pub(crate) use rows::{blank, rows};
pub(crate) use search_rows::search_rows;
