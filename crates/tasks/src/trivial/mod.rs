//! Baselines without a network: n-gram counts and nearest neighbours.

mod nearest;
mod ngram;

pub(crate) use nearest::nearest_neighbour;
pub(crate) use ngram::best_order;
