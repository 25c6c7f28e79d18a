//! Generated data with known structure.

mod margin;
mod patterns;
mod planted_clusters;

pub use patterns::{Patterns, PatternsConfig};
pub use planted_clusters::{PlantedClusters, PlantedClustersConfig};
