//! Training of networks: one file per objective, and the parts that they share.
//!
//! [`supervised`] is the loop to read first, and the one to fork.

mod adamw;
mod batch_facts;
mod checkpoint;
mod choices;
mod clip;
#[cfg(test)]
#[path = "../tests/common/mod.rs"]
mod common;
mod config;
mod confusion;
mod deferred;
mod distill;
mod edit;
mod error;
mod evaluate;
mod evaluation_batch;
mod example_scores;
mod few_shot;
mod finite;
mod latency;
mod layer_reports;
mod lead;
mod learner;
mod measured_norms;
mod modularity;
mod objective;
mod optimizer;
mod order;
mod parallel;
mod params;
mod pending_losses;
mod rates;
mod record;
mod run;
mod schedule;
mod scope;
mod segment_memory;
mod spikes;
mod step_log;
pub mod supernet;
mod supervised;
mod tracer;
mod translations;
#[cfg(test)]
#[path = "../../bench/tests/common/worked.rs"]
mod worked;

#[cfg(test)]
extern crate self as training;

pub use batch_facts::put_batch_facts;
pub use checkpoint::{Checkpoint, CheckpointError, record_digest};
pub use clip::clip_global_norm;
pub use config::{
    Damage, DamageKind, FaultConfig, FaultKind, Optimizer, Penalty, Persistent, Schedule, Shape,
    SpikesConfig, TrainConfig, WorkersConfig,
};
pub use confusion::{confusion, confusion_graph};
pub use distill::{Distill, DistillConfig, Part, Reduction, divergence, take_over};
pub use edit::{Detector, outer_step, weights};
pub use error::TrainError;
pub use evaluate::{Evaluation, evaluate, evaluate_some};
pub use evaluation_batch::EVALUATION_BATCH;
pub use example_scores::ExampleScore;
pub use few_shot::{FewShot, ridge};
pub use latency::{Timing, trimmed_mean};
pub use lead::follow;
pub use modularity::{ModularityClusters, modularity_clusters};
pub use objective::{Answered, Objective, Value};
pub use optimizer::{adamw, decays, optimizer};
pub use order::{Order, all_in_rows};
pub use parallel::ProcessGroup;
pub use params::params_of;
pub use run::{Run, Watch};
pub use step_log::{LogMark, StepLog, StepRow};
pub use supervised::{Outcome, supervised, supervised_by};
pub use tracer::{Span, SpanTimes, StepTracer};
pub use translations::{WritingSpeed, latency, translations};
