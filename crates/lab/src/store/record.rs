//! The records in a run's folder: its result, and the experts with which it began.

use moe::Pruned;
use serde::{Deserialize, Serialize};

/// The end of a run. A run without this record is resumed by the next call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub(crate) enum Ended {
    /// Finished, with numbers.
    Done(Numbers),
    /// Failed: without numbers, and final, since the same run would fail again.
    Failed {
        /// The step of the failure, counted from 1.
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
    /// The number of trained steps.
    pub(crate) step: usize,
    /// The number of parameters of the network.
    pub(crate) params: f64,
    /// The number of parameters used for one token, on average.
    pub(crate) active_params: f64,
    /// The number of parameters of the routers.
    pub(crate) router_params: f64,
    /// Floating-point operations of one token in a forward pass.
    pub(crate) flops_per_token: f64,
    /// Number of tokens seen in training.
    pub(crate) tokens: f64,
    /// Floating-point operations of the forward passes of training, summed over the steps as they were
    /// executed.
    pub(crate) forward_flops: f64,
    /// Seconds spent in training steps.
    pub(crate) seconds: f64,
    /// The peak memory of the program during the run, in bytes; none if the system does not report it.
    pub(crate) peak_memory: Option<u64>,
    /// SHA-256 of the weights.
    pub(crate) weights: String,
    /// The device of the training.
    pub(crate) device: String,
}

/// The remaining experts of a pruned run, and the scores behind the selection: `pruned.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Selected {
    /// The remaining experts, from which the network is built.
    pub(crate) pruned: Pruned,
    /// The score of each original expert, by layer; empty if they were not scored for this run.
    pub(crate) scores: Vec<Vec<f64>>,
    /// The groups of experts that were merged into one, by layer, with the numbers of the experts before
    /// merging.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) clusters: Vec<Vec<Vec<usize>>>,
}
