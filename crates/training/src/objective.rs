//! Training objectives beyond the task's loss and the layers' losses.

use burn::prelude::*;
use moe::Pass;
use tasks::{Batch, Task};

/// A loss that replaces the task's loss. The layers' own losses are added to it.
pub trait Objective: Sync {
    /// The value for a batch of the task.
    fn value(&self, step: Answered) -> Value;
}

/// The outputs of a network for a batch.
pub struct Answered<'a> {
    /// The task.
    pub task: &'a dyn Task,
    /// The batch.
    pub batch: &'a Batch,
    /// The outputs, `[B, T, outputs]`.
    pub output: Tensor<3>,
    /// The task's loss of the outputs.
    pub loss: Tensor<1>,
    /// The pass in which the outputs were computed.
    pub pass: &'a mut Pass,
}

/// The value of an objective.
pub struct Value {
    /// The loss to minimise.
    pub loss: Tensor<1>,
    /// Floating-point operations in addition to those of the network.
    pub flops: f64,
}
