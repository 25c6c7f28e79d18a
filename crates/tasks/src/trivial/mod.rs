//! Baselines without a network: n-gram counts, nearest neighbours and means of classes.

mod means;
mod nearest;
mod ngram;

pub(crate) use means::ClassMeans;
pub(crate) use nearest::{nearest_neighbour, nearest_rows};
pub(crate) use ngram::best_order;
