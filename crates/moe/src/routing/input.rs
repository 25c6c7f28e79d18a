//! What enters a backbone, and what a backbone must know of it beforehand.

use burn::prelude::*;

/// One batch of examples as a network takes it.
#[derive(Clone, Debug)]
pub enum Input {
    /// Pictures, `[B, channels, height, width]`.
    Image(Tensor<4>),
    /// Token ids, `[B, T]`.
    Tokens(Tensor<2, Int>),
}

/// The form of a task's inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// Pictures of one size.
    Image {
        /// Colours.
        channels: usize,
        /// Rows of pixels.
        height: usize,
        /// Columns of pixels.
        width: usize,
    },
    /// Sequences of token ids.
    Text {
        /// How many different tokens there are.
        vocab: usize,
        /// Tokens in a sequence.
        length: usize,
    },
}
