//! Baselines without a network: n-gram counts, counts between two neighbours, a lexicon of single tokens,
//! and nearest neighbours.

mod lexicon;
mod nearest;
mod neighbours;
mod ngram;

pub(crate) use lexicon::Lexicon;
pub(crate) use nearest::nearest_neighbour;
pub(crate) use neighbours::Neighbours;
pub(crate) use ngram::{best_order, best_order_of_sentences};
