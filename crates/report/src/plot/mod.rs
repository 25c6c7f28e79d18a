//! Plots as SVG without a plotting library: they can be used alone in a paper, and take the colours of a page
//! in which they are embedded. Every plot contains a description for readers who cannot see it.

mod axis;
mod cd;
mod curves;
mod figure;
mod frame;
mod heat;
mod intervals;
mod laws;
mod matrix;
mod overview;
mod pareto;
mod patches;
mod svg;

pub use cd::{MeanRanks, critical_differences};
pub use curves::curves;
pub use figure::Figure;
pub(crate) use figure::distinct_names;
pub use heat::{Heat, heat};
pub use intervals::{Dots, intervals};
pub use laws::{Law, laws};
pub use matrix::matrix;
pub use overview::{Against, Difference, OverviewFinding, Panel, overview};
pub use pareto::{CostPoint, front, pareto};
pub use patches::patches;
pub(crate) use patches::tint;
pub(crate) use svg::{escape, escape_into};
