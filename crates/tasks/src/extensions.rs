//! Extensions of [`Task`](crate::Task): features of only some tasks. A task implements the trait, and returns
//! itself from the accessor of that extension (`as_text`, ...). `FoldedTask`, whose method returns a task, is
//! in `task.rs`.

use burn::prelude::*;
use moe::Input;

use crate::{Batch, Score, Split, Tokenizer};

/// A task whose inputs are text: [`Task::as_text`](crate::Task::as_text).
pub trait TextTask {
    /// The tokeniser of the inputs.
    fn tokenizer(&self) -> &dyn Tokenizer;

    /// Known properties of the whole texts that examples are cut from. The first property is the true
    /// cluster of a token.
    fn properties(&self) -> &[Property] {
        &[]
    }

    /// Multiple-choice questions that a language model answers by likelihood. They are evaluated with
    /// the test split.
    fn questions(&self) -> &[Question] {
        &[]
    }
}

/// A multiple-choice question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The texts to choose from.
    pub candidates: Vec<AnswerChoice>,
    /// The index of the right one.
    pub answer: usize,
}

/// One of the texts to choose from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerChoice {
    /// The tokens of the context and the choice: only the last T + 1 if there are more.
    pub tokens: Vec<i32>,
    /// The index of the first token of the choice, at least 1.
    pub start: usize,
    /// The number of characters of the choice.
    pub characters: usize,
}

/// A property of each of the whole texts that examples are cut from: the party of a speech, for example.
#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    /// Its name.
    pub name: &'static str,
    /// Its possible values.
    pub values: Vec<String>,
    /// The value of each text: an index into `values`.
    pub of: Vec<usize>,
}

/// A task whose example i + 1 continues example i: [`Task::as_stream`](crate::Task::as_stream). Batches
/// follow each other such that row b of one continues row b of the one before, and a network may keep
/// segment memory.
pub trait StreamTask {
    /// The number of leading examples of a split that have no padding.
    fn len_without_padding(&self, split: Split) -> usize;
}

/// A task that is also evaluated under attack:
/// [`Task::as_attacked`](crate::Task::as_attacked).
pub trait AttackedTask {
    /// The number of examples of a split under attack; zero where the split is not attacked.
    fn attacked_len(&self, split: Split) -> usize;

    /// The examples of these numbers under attack, each in `0..attacked_len(split)`.
    fn attacked(&self, split: Split, examples: &[usize], device: &Device) -> Batch;

    /// Adds the metrics of a batch under attack to a score, under names of their own.
    fn measure_attacked(&self, output: Tensor<3>, batch: &Batch, score: &mut Score);
}

/// A task that knows true clusters: [`Task::as_clustered`](crate::Task::as_clustered). They are for the
/// router `oracle` alone, as a bound.
pub trait ClusteredTask {
    /// The true cluster of each token, `[B, T]`, or of each example, `[B, 1]`.
    fn clusters(&self, batch: &Batch) -> Tensor<2, Int>;

    /// The true super-class of each class, in tasks whose classes have a hierarchy.
    fn super_classes(&self) -> Option<&[usize]> {
        None
    }
}

/// A task whose batches have a condition, for routing at batch level:
/// [`Task::as_conditioned`](crate::Task::as_conditioned).
pub trait ConditionedTask {
    /// The width of the condition.
    fn condition_width(&self) -> usize;

    /// The condition of the whole batch, `[1, condition_width]`.
    fn condition(&self, batch: &Batch) -> Tensor<2>;
}

/// A task with measures that are not means over examples, such as average precisions:
/// [`Task::as_whole_split`](crate::Task::as_whole_split).
pub trait WholeSplitTask {
    /// Adds the measures of a whole split to a score. `outputs` holds the network's output `[T, outputs]`,
    /// row by row, for each example of the split in order. A measure that cannot be computed is NaN, which
    /// makes the run fail.
    fn measure_whole(&self, split: Split, outputs: &[Vec<f32>], score: &mut Score);
}

/// A task that is measured by running the network step by step, where each input depends on earlier answers:
/// [`Task::as_sequential`](crate::Task::as_sequential).
pub trait SequentialTask {
    /// Adds the measures of a split to a score. `network` returns the output for an input.
    fn measure_sequence(
        &self,
        split: Split,
        network: &mut dyn FnMut(Input) -> Tensor<3>,
        device: &Device,
        score: &mut Score,
    );
}
