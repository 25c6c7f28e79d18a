//! The inputs of a training run: task, settings, folder, and an observer.

use std::{io, path::Path};

use backbones::AnyBackbone;
use burn::prelude::*;
use tasks::{Batch, BatchPosition, Split, Task};

use crate::{Objective, TrainConfig, tracer::StepTracer};

/// The task, settings and folder of a run.
pub struct Run<'a> {
    /// The task to learn.
    pub task: &'a dyn Task,
    /// Budget, optimizer and schedule.
    pub config: &'a TrainConfig,
    /// The seed of the data order and of all random numbers in the passes.
    pub seed: u64,
    /// The device, without autodiff.
    pub device: &'a Device,
    /// The folder of the run, which must exist.
    pub folder: &'a Path,
    /// Whether the test split is evaluated, once, at the end. A run that serves to choose a setting must not
    /// use it.
    pub test: bool,
    /// The loss that replaces the task's loss, if any.
    pub objective: Option<&'a dyn Objective>,
    /// A tracer of the time that each part of a step takes; it does not affect the run.
    pub tracer: Option<&'a StepTracer>,
}

impl Run<'_> {
    /// The training examples with these indices, of which the first is at this position of the run's stream.
    pub(crate) fn training_batch(&self, examples: &[usize], position: usize) -> Batch {
        let place = BatchPosition { seed: self.seed, position };
        let batch = self.task.training_batch(examples, place, self.device);
        batch.drawn(Split::Train, examples)
    }
}

/// An observer of a run.
pub trait Watch {
    /// Called after `done` completed steps.
    fn step(&mut self, done: usize);
    /// Whether the run should stop with a checkpoint.
    fn stop(&self) -> bool;
    /// Whether [`Watch::observe`] is to be called.
    fn observes(&self) -> bool {
        false
    }
    /// Called with the network after `done` steps, in evaluation mode: at the start, with each evaluation,
    /// and at the end. It must not change the run.
    fn observe(&mut self, _done: usize, _model: &AnyBackbone) -> io::Result<()> {
        Ok(())
    }
}
