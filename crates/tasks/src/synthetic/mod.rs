//! Data that are made up, where what a network has to find is known.

mod patterns;

pub use patterns::{Patterns, PatternsConfig};
