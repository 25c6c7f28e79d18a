//! The units of an input, as the router and the experts get them.

use burn::prelude::*;

use crate::routing::{Condition, Level, Pass};

impl Level {
    /// The router's input `[G, U, S]` and the experts' input `[G, U, P]` for `x` of `[B, T, D]`. `P` is an
    /// integer number of rows of [`Level::expert_width`].
    ///
    /// # Panics
    /// At batch level without a [`Condition`] in the pass; see [`Level::check_condition`].
    pub fn view(self, pass: &Pass, x: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
        let [b, t, d] = x.dims();
        match self {
            Level::Token => (x.clone(), x),
            Level::Sequence => (x.clone().mean_dim(1).swap_dims(0, 1), x.reshape([1, b, t * d])),
            Level::Batch(_) => {
                let Condition(code) =
                    pass.get().expect("batch-level routing requires a Condition in the pass");
                (code.clone().unsqueeze_dim::<3>(0), x.reshape([1, 1, b * t * d]))
            }
            Level::Heads(h) => {
                let heads = x.reshape([b, t * h, d / h]);
                (heads.clone(), heads)
            }
        }
    }
}
