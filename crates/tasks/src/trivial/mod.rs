//! Baselines without a network. A network that does not beat them has learned nothing that counting or
//! looking up would not give.

mod nearest;
mod ngram;

pub(crate) use nearest::nearest_neighbour;
pub(crate) use ngram::best_order;
