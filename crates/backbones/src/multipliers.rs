//! Constant factors of a decoder, as in Granite.
//!
//! IBM. *Granite 3.0 Language Models*. 2024; Yang et al. *Tensor Programs VI: Feature Learning in
//! Infinite-Depth Neural Networks*. 2023. <https://arxiv.org/abs/2310.02244>.
//!
//! x_0 = embedding Embed(ids)                   (1)
//! x'  = x + residual F(N(x)), of each branch   (2)
//! y   = Head(N(x_L)) / logits                  (3)

use burn::prelude::*;
use moe::config;

config! {
    /// Constant factors; 1 has no effect.
    pub struct Multipliers {
        /// The factor on the embedded tokens.
        pub embedding: f64 = 1.0,
        /// The factor on the output of each branch.
        pub residual: f64 = 1.0,
        /// The divisor of the scores of the vocabulary.
        pub logits: f64 = 1.0,
    }
}

impl Multipliers {
    /// Whether all factors are 1.
    pub(crate) fn are_default(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let Self { embedding, residual, logits } = *self;
        for (name, factor) in [("embedding", embedding), ("residual", residual), ("logits", logits)]
        {
            if !(factor > 0.0 && factor.is_finite()) {
                return Err(format!("multipliers.{name} = {factor}: must be above 0"));
            }
        }
        Ok(())
    }
}

/// The tensor times a factor; bitwise unchanged for 1.
pub(crate) fn times<const D: usize>(x: Tensor<D>, factor: f64) -> Tensor<D> {
    if factor == 1.0 { x } else { x * factor }
}
