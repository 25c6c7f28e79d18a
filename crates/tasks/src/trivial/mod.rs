//! Baselines without a network: n-gram counts, counts between two neighbours, a lexicon of single tokens,
//! nearest neighbours and means of classes.

mod lexicon;
mod means;
mod nearest;
mod neighbours;
mod ngram;

pub(crate) use lexicon::Lexicon;
pub(crate) use means::ClassMeans;
pub(crate) use nearest::{nearest_neighbour, nearest_rows};
pub(crate) use neighbours::Neighbours;
pub(crate) use ngram::{best_order, best_order_of_sentences};
