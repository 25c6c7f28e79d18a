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
    /// The split and the indices of the examples, if they are shown as they are in the split.
    pub examples: Option<(Split, Vec<usize>)>,
}

impl Batch {
    /// Examples with one answer each.
    pub fn new(input: Input, labels: Tensor<2, Int>) -> Self {
        Self { input, labels, text: None, targets: None, examples: None }
    }

    /// The same batch, with a record that it shows these examples of a split.
    pub fn drawn(self, split: Split, examples: &[usize]) -> Self {
        Self { examples: Some((split, examples.to_vec())), ..self }
    }
}

/// Lengths, bytes and sources of the text in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFacts {
    /// For each example, the number of leading answers that count; the later ones are padding after the end
    /// of the text.
    pub count: Vec<usize>,
    /// The number of bytes of text that the counted answers of each example stand for.
    pub bytes: Vec<usize>,
    /// For each token, the index of the whole text that it comes from, `[B * T]`; empty if unknown.
    pub source: Vec<usize>,
}
