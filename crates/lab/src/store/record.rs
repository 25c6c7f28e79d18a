//! The records in a run's folder: its result, and the experts that it began with.

use moe::Pruned;
use serde::{Deserialize, Serialize};

/// The end of a run. A run without it is resumed by the next call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub(crate) enum Ended {
    /// With numbers.
    Done(Numbers),
    /// With none, and never will: the same run fails again.
    Failed {
        /// At which step, counted from 1.
        step: usize,
        /// The cause.
        cause: String,
    },
}

/// The results of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Numbers {
    /// Split, metric, value.
    pub(crate) metrics: Vec<(String, String, f64)>,
    /// Steps trained.
    pub(crate) step: usize,
    /// Parameters of the network.
    pub(crate) params: f64,
    /// Parameters at work on one token, on average.
    pub(crate) active_params: f64,
    /// Parameters of the routers.
    pub(crate) router_params: f64,
    /// Floating-point operations of one token, forward.
    pub(crate) flops_per_token: f64,
    /// Tokens seen in training.
    pub(crate) tokens: f64,
    /// Floating-point operations of the forward passes of training, as each step took them.
    pub(crate) forward_flops: f64,
    /// Seconds spent in training steps.
    pub(crate) seconds: f64,
    /// The peak memory of the program during the run, in bytes; none where the system does not report it.
    pub(crate) peak_memory: Option<u64>,
    /// SHA-256 of the weights.
    pub(crate) weights: String,
    /// The device of the training.
    pub(crate) device: String,
}

/// The remaining experts of a pruned run, and the reason: `pruned.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Selected {
    /// As it is built.
    pub(crate) pruned: Pruned,
    /// The score of each expert that there was, by layer; empty if they were not scored for this run.
    pub(crate) scores: Vec<Vec<f64>>,
    /// The groups of experts that were merged into one, by layer, numbered as before merging.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) clusters: Vec<Vec<Vec<usize>>>,
}
