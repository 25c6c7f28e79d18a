//! Analyses of traces, one per file, each with the paper that introduced it.

mod agreement;
mod changes;
mod coactivation;
mod entropy;
mod load;
mod margin;
mod matching;
mod numbers;
mod saturation;
mod specialisation;
mod switches;
mod tables;

pub use agreement::{Agreement, agreement};
pub use changes::changes;
pub use coactivation::coactivation;
pub use entropy::{choice_entropy, load_entropy, weight_entropy};
pub use load::{LoadFacts, load};
pub use margin::margin;
pub use matching::matching;
pub use numbers::numbers;
pub use saturation::saturation;
pub use specialisation::{Specialisation, specialisation, usage};
pub use switches::switches;
pub(crate) use tables::label_name;
pub use tables::{ANALYSES, tables_of};
