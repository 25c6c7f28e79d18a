//! Training objectives beyond the task's loss and the layers' losses.

use burn::prelude::*;
use moe::Pass;
use tasks::{Batch, Task};

/// A loss that replaces the task's loss. The layers' own losses are added to it.
pub trait Objective: Sync {
    /// The value for a batch of the task, of which the network gave `output`, `[B, T, outputs]`, at the
    /// task's loss `loss`.
    fn value(&self, step: Answered) -> Value;
}

/// The outputs of a network for a batch.
pub struct Answered<'a> {
    /// The task.
    pub task: &'a dyn Task,
    /// The batch.
    pub batch: &'a Batch,
    /// The answers, `[B, T, outputs]`.
    pub output: Tensor<3>,
    /// The task's loss of them.
    pub loss: Tensor<1>,
    /// The pass that they are from.
    pub pass: &'a mut Pass,
}

/// The value of an objective.
pub struct Value {
    /// The loss to minimise.
    pub loss: Tensor<1>,
    /// Floating-point operations that it took besides the network's.
    pub flops: f64,
}
