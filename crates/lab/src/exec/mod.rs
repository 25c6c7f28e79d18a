//! Training of runs: order, parallelism, networks, progress.

mod adapters;
mod architecture_search;
mod dashboard;
mod device;
mod follower;
mod halving;
mod import;
mod job;
mod memory;
mod merging;
mod model_builder;
mod parts;
mod predicted_latency;
mod progress;
mod pruning;
mod runner;
mod same_network;
mod sampling;
mod scheduler;
mod start;
mod super_classes;
pub(crate) mod together;
mod upcycling;

pub(crate) use architecture_search::{SearchResult, Searched};
pub(crate) use dashboard::close_screen;
pub use device::device;
pub(crate) use import::Imported;
pub(crate) use model_builder::ModelBuilder;
pub(crate) use progress::ProgressDisplay;
pub(crate) use runner::Runner;
pub(crate) use same_network::changes_of_network;
pub(crate) use sampling::Sampling;
