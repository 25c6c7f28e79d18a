//! Tasks: data, loss and measures, one file each. A task knows no network.

mod data;
mod score;
pub mod text;
pub mod vision;

pub use data::{DataDir, DataError};
pub use score::{Score, cross_entropy};

use std::sync::Arc;

use burn::prelude::*;
use moe::{Choice, Domain, Entry, Hyper, Input, Registry, read};
use serde_json::json;

/// All tasks. The list is the table of contents.
pub fn all() -> Tasks {
    Tasks::new().with::<vision::Digits>().with::<text::TanakaLm>().with::<text::TextLm>()
}

/// Which part of a task's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// What weights are fitted to.
    Train,
    /// What choices are made on: hyperparameters, stopping.
    Valid,
    /// What is reported, looked at once, when a run is over.
    Test,
}

impl Split {
    /// The name used in csv files.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Valid => "valid",
            Split::Test => "test",
        }
    }
}

/// Some examples of a task.
#[derive(Clone, Debug)]
pub struct Batch {
    /// What the network sees.
    pub input: Input,
    /// What it should answer, `[B, T]`: the class at each position.
    pub labels: Tensor<2, Int>,
}

/// What a network learns, and how well it did.
pub trait Task: Send + Sync {
    /// The form of the inputs.
    fn domain(&self) -> Domain;

    /// Answers to choose from at each position: classes, or the vocabulary.
    fn outputs(&self) -> usize;

    /// Would an answer be given away by the inputs after it? Then only causal networks count.
    fn causal(&self) -> bool;

    /// The measures of [`Task::measure`], the one that matters most first.
    fn metrics(&self) -> &'static [&'static str];

    /// How many examples a split has.
    fn len(&self, split: Split) -> usize;

    /// The examples of these numbers, each in `0..len(split)`.
    fn batch(&self, split: Split, examples: &[usize], device: &Device) -> Batch;

    /// The true cluster of each token, `[B, T]`, or of each example, `[B, 1]`; none if the task knows
    /// none. For the router `oracle` alone, as a bound.
    fn clusters(&self, _batch: &Batch) -> Option<Tensor<2, Int>> {
        None
    }

    /// The mean loss of `[B, T, outputs]`, what training minimises.
    fn loss(&self, output: Tensor<3>, batch: &Batch) -> Tensor<1> {
        cross_entropy(output, batch.labels.clone()).mean()
    }

    /// Adds what a batch's outputs are worth to a score.
    fn measure(&self, output: Tensor<3>, batch: &Batch, score: &mut Score);
}

/// How a task is named and loaded.
pub trait LoadTask: 'static {
    /// Hyperparameters, as written in a config file.
    type Config: Hyper;
    /// The name used in configs and tables.
    const NAME: &'static str;
    /// One line on what it is.
    const ABOUT: &'static str;
    /// Where the data come from: a URL, and their licence.
    const SOURCE: &'static str;

    /// Reads the data.
    fn load(config: &Self::Config, data: &DataDir) -> Result<Arc<dyn Task>, DataError>;
}

/// How a registered task is loaded.
pub type BuildTask = fn(&Choice, &DataDir) -> Result<Arc<dyn Task>, DataError>;

/// Tasks by name.
#[derive(Clone)]
pub struct Tasks(Registry<BuildTask>);

impl Tasks {
    fn new() -> Self {
        Self(Registry::new("task"))
    }

    /// Adds a task under its [`LoadTask::NAME`].
    pub fn with<T: LoadTask>(mut self) -> Self {
        let build: BuildTask = |choice, data| T::load(&read("task", choice)?, data);
        let facts = json!({ "source": T::SOURCE });
        self.0.add(T::NAME, Entry::new::<T::Config>(T::ABOUT, "", facts, build));
        self
    }
}

impl std::ops::Deref for Tasks {
    type Target = Registry<BuildTask>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
