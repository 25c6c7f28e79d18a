//! The input of a backbone, and its form.

use burn::prelude::*;

/// One batch of examples as a network takes it.
#[derive(Clone, Debug)]
pub enum Input {
    /// Images, `[B, channels, height, width]`.
    Image(Tensor<4>),
    /// Token ids, `[B, T]`.
    Tokens(Tensor<2, Int>),
}

/// The form of a task's inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// Images of one size.
    Image {
        /// Channels, one or three.
        channels: usize,
        /// Rows of pixels.
        height: usize,
        /// Columns of pixels.
        width: usize,
    },
    /// Sequences of token ids.
    Text {
        /// The size of the vocabulary.
        vocab: usize,
        /// Tokens in a sequence.
        length: usize,
    },
}
