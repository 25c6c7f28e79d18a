//! The input of a backbone, and the form of a task's inputs.

use burn::prelude::*;

/// One batch of examples, as the input of a network.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one a batch")]
pub enum Input {
    /// Images, `[B, channels, height, width]`.
    Image(Tensor<4>),
    /// Token ids, `[B, T]`.
    Tokens(Tensor<2, Int>),
    /// Pairs of sequences.
    Pair(SequencePair),
}

/// Two sequences for each example: a source, which is read whole, and a target, in which the label of each
/// token is the next one.
#[derive(Clone, Debug)]
pub struct SequencePair {
    /// Token ids, `[B, S]`.
    pub source: Tensor<2, Int>,
    /// The number of real tokens of each source, from the first one on; at least 1 each.
    pub source_counts: Vec<usize>,
    /// Token ids, `[B, T]`; the first is the token that begins a target.
    pub target: Tensor<2, Int>,
    /// The number of real tokens of each target, from the first one on.
    pub target_counts: Vec<usize>,
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
    /// Pairs of sequences of token ids.
    Pair {
        /// The size of the vocabulary that sources and targets share.
        vocab: usize,
        /// The largest number of tokens in a source.
        source: usize,
        /// The largest number of tokens in a target.
        target: usize,
    },
}
