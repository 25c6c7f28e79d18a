//! From the text of a suite to its runs, checked and with their sizes.

mod adapters;
mod architecture_search;
mod budget;
mod checkpoint;
mod compatibility;
mod found;
mod layers;
mod limits;
mod loader;
pub(crate) mod memory;
#[cfg(test)]
mod numbers_test;
mod replay;
mod run_config;
mod search_key;
mod search_space;
mod searcher;
mod selection;
mod sizes;
mod source;
mod statements;
mod taken;
mod tier;
mod tuning;
mod upcycling;

#[cfg(test)]
pub(crate) use search_space::tests as search_space_tests;

pub(crate) use adapters::adapters;
pub(crate) use architecture_search::{ArchitectureSearch, Costs, How, MostCost};
pub(crate) use checkpoint::{CheckpointSettings, tokens_of, tokens_of_tokenizer};
pub(crate) use found::{TrainedRun, trained_run};
pub(crate) use limits::{MOST_EXPERTS, check_plugin_sizes};
pub(crate) use loader::Reader;
pub(crate) use searcher::{Base, Role, Searcher};
pub(crate) use selection::seeds;
pub(crate) use source::Source;
pub use statements::{claims_of, gates_of};
pub(crate) use taken::Unmatched;
