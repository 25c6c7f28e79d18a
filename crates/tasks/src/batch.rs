//! Batches of examples.

use burn::prelude::*;
use moe::Input;

use crate::Split;

/// Some examples of a task.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The network's input.
    pub input: Input,
    /// The right answers, `[B, T]`: the class at each position.
    pub labels: Tensor<2, Int>,
    /// For examples of text: lengths, bytes and sources.
    pub text: Option<TextFacts>,
    /// Targets that are no classes: the numbers that the task's own loss compares outputs with.
    pub targets: Option<Tensor<3>>,
    /// The split and the indices of its examples, where they are examples as they stand there.
    pub examples: Option<(Split, Vec<usize>)>,
}

impl Batch {
    /// Examples with one answer each.
    pub fn new(input: Input, labels: Tensor<2, Int>) -> Self {
        Self { input, labels, text: None, targets: None, examples: None }
    }

    /// The same, of these examples of a split.
    pub fn drawn(self, split: Split, examples: &[usize]) -> Self {
        Self { examples: Some((split, examples.to_vec())), ..self }
    }
}

/// Lengths, bytes and sources of the text in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFacts {
    /// The number of answers of each example that count, from its first one on; those after them are
    /// padding, where the text ends within a window.
    pub count: Vec<usize>,
    /// The bytes of text that the answers of each example that count stand for.
    pub bytes: Vec<usize>,
    /// The number of the whole text that each token is from, `[B * T]`; empty where that is not known.
    pub source: Vec<usize>,
}
