//! The reasons why a run does not end.

use std::{io, path::PathBuf};

use crate::CheckpointError;

/// The reason why a run did not end.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A loss, a parameter, a routing weight or a measure is not finite.
    #[error("{what} is {value} at step {step}")]
    Diverged {
        /// The step, counted from 1; 0 before the first.
        step: usize,
        /// The name of the number that is not finite.
        what: String,
        /// NaN or infinity.
        value: f32,
    },
    /// Another process of the run failed to begin.
    #[error("process {rank}: {message}")]
    Elsewhere {
        /// Its rank.
        rank: usize,
        /// Its error.
        message: String,
    },
    /// `train.only` or `train.router_lr` does not fit the network. The text begins with the key.
    #[error("{0}")]
    Scope(String),
    /// The processes cannot split the experts.
    #[error("moe.expert_parallel: {0}")]
    Experts(String),
    /// The run was stopped. A checkpoint exists.
    #[error("stopped after step {step}")]
    Stopped {
        /// The number of completed steps.
        step: usize,
    },
    /// The checkpoint cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The observer of the network failed to write its file.
    #[error("{0}")]
    Observer(io::Error),
    /// The log, or the scores of the test examples, cannot be read or written.
    #[error("{path}: {source}")]
    Log {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}
