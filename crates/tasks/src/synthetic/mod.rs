//! Data that are made up, where what a network has to find is known.

mod margin;
mod patterns;
mod planted_clusters;

pub use patterns::{Patterns, PatternsConfig};
pub use planted_clusters::{PlantedClusters, PlantedClustersConfig};
