//! The core of a task: data, loss and metrics. Other features are extensions.

use std::sync::Arc;

use burn::prelude::*;
use moe::{Domain, Hyper};

use crate::{
    AttackedTask, Batch, BatchPosition, ClusteredTask, ConditionedTask, DataDir, DataError, Score,
    SequentialTask, Split, StreamTask, TextTask, TranslationTask, WholeSplitTask, cross_entropy,
};

/// Data, a loss and metrics. Seven methods are required; those after them have defaults, and the last
/// ones, `as_...`, give access to the extensions that a task implements besides.
pub trait Task: Send + Sync {
    /// The form of the inputs.
    fn domain(&self) -> Domain;

    /// The number of outputs at each position: classes, or the size of the vocabulary.
    fn outputs(&self) -> usize;

    /// Whether an answer may only depend on the inputs before it. Then only causal networks are allowed.
    fn causal(&self) -> bool;

    /// The names of all metrics, the most important one first: those of [`Task::measure`], then those
    /// of [`AttackedTask::measure_attacked`] and of [`TextTask::questions`].
    fn metrics(&self) -> &[&'static str];

    /// The number of examples of a split.
    fn len(&self, split: Split) -> usize;

    /// The examples with these indices, each in `0..len(split)`.
    fn batch(&self, split: Split, examples: &[usize], device: &Device) -> Batch;

    /// Adds the metrics of a batch to a score; `output` is `[B, T, outputs]`.
    fn measure(&self, output: Tensor<3>, batch: &Batch, score: &mut Score);

    /// The mean loss of `output` `[B, T, outputs]`, which training minimises: cross-entropy by default.
    /// Padding does not count.
    fn loss(&self, output: Tensor<3>, batch: &Batch) -> Tensor<1> {
        mean_of_real(cross_entropy(output, batch.labels.clone()), batch)
    }

    /// Checks the number T of answers that a network gives for an input; called for tasks on images only. One
    /// is required by default.
    ///
    /// # Errors
    /// Names the required number.
    fn takes(&self, answers: usize) -> Result<(), String> {
        match answers {
            1 => Ok(()),
            _ => {
                Err(format!("the task needs one answer per image, but the network gives {answers}"))
            }
        }
    }

    /// Whether the loss is the cross-entropy of `[B, T, outputs]` with the labels. A run then keeps the
    /// loss and the number of right answers of each test example. Tasks with several outputs and another
    /// loss return false.
    fn is_classification(&self) -> bool {
        self.outputs() > 1
    }

    /// The training examples with these indices as they are shown in training; a task may change them at
    /// random (augmentation).
    fn training_batch(&self, examples: &[usize], place: BatchPosition, device: &Device) -> Batch {
        let _ = place;
        self.batch(Split::Train, examples, device)
    }

    /// Test metrics of a baseline without a network, such as an n-gram model or the nearest neighbour, under
    /// the names of the task's own metrics. None by default.
    fn trivial(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    /// A note for tables about data that the task lacks; empty by default.
    fn note(&self) -> &'static str {
        ""
    }

    /// The extension of tasks whose inputs are text.
    fn as_text(&self) -> Option<&dyn TextTask> {
        None
    }

    /// The extension of tasks with consecutive examples; none if examples are independent.
    fn as_stream(&self) -> Option<&dyn StreamTask> {
        None
    }

    /// The extension of tasks that are also evaluated under attack.
    fn as_attacked(&self) -> Option<&dyn AttackedTask> {
        None
    }

    /// The extension of tasks with known clusters of their tokens or examples.
    fn as_clustered(&self) -> Option<&dyn ClusteredTask> {
        None
    }

    /// The extension of tasks whose batches have a condition.
    fn as_conditioned(&self) -> Option<&dyn ConditionedTask> {
        None
    }

    /// The extension of tasks whose answers are sentences that a network writes.
    fn as_translation(&self) -> Option<&dyn TranslationTask> {
        None
    }

    /// The extension of tasks whose splits follow from the run's seed.
    fn as_folded(&self) -> Option<&dyn FoldedTask> {
        None
    }

    /// The extension of tasks with measures of a whole split.
    fn as_whole_split(&self) -> Option<&dyn WholeSplitTask> {
        None
    }

    /// The extension of tasks whose measures run the network step by step.
    fn as_sequential(&self) -> Option<&dyn SequentialTask> {
        None
    }
}

/// A task whose splits follow from the run's seed, as for cross-validation: [`Task::as_folded`]. Its test
/// examples differ between seeds, so it is not a classification in the sense of [`Task::is_classification`].
pub trait FoldedTask {
    /// The task with the splits of a seed. It is not folded.
    fn of_seed(&self, seed: u64) -> Arc<dyn Task>;
}

/// The mean of losses `[B * T]` of a batch over the answers that count.
pub(crate) fn mean_of_real(losses: Tensor<1>, batch: &Batch) -> Tensor<1> {
    let [b, t] = batch.labels.dims();
    let counts = match &batch.text {
        Some(text) if text.count.iter().any(|count| *count < t) => &text.count,
        _ => return kernels::mean(losses),
    };
    let real = counts.iter().flat_map(|count| (0..t).map(move |at| f32::from(at < *count)));
    let real = TensorData::new(real.collect::<Vec<_>>(), [b * t]);
    let real = Tensor::<1>::from_data(real, &losses.device().inner());
    kernels::sum(losses * Tensor::from_inner(real)) / counts.iter().sum::<usize>().max(1) as f64
}

/// The name of a task, and how it is loaded.
pub trait LoadTask: 'static {
    /// Hyperparameters, as written in a config file.
    type Config: Hyper;
    /// The name used in configs and tables.
    const NAME: &'static str;
    /// One line of description.
    const ABOUT: &'static str;
    /// The origin of the data: a URL, and their licence.
    const SOURCE: &'static str;

    /// Reads the data. All files are read through `data`, so that their content is part of a run's identity.
    fn load(config: &Self::Config, data: &DataDir) -> Result<Arc<dyn Task>, DataError>;
}
