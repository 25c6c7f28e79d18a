//! The input of a backbone, and its form.

use burn::prelude::*;

/// One batch of examples as a network takes it.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one a batch")]
pub enum Input {
    /// Images, `[B, channels, height, width]`.
    Image(Tensor<4>),
    /// Token ids, `[B, T]`.
    Tokens(Tensor<2, Int>),
    /// Sentences and what is to be made of them.
    Pair(SequencePair),
}

/// Two sequences an example: a source that is read whole, and a target of which each token is answered
/// by the one after it.
#[derive(Clone, Debug)]
pub struct SequencePair {
    /// Token ids, `[B, S]`.
    pub source: Tensor<2, Int>,
    /// The number of real tokens of each source, from the first one on; at least 1 each.
    pub source_counts: Vec<usize>,
    /// Token ids, `[B, T]`, from the token that begins a target on.
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
        /// The number of different tokens, in both together.
        vocab: usize,
        /// Tokens in a source, at most.
        source: usize,
        /// Tokens in a target, at most.
        target: usize,
    },
}
