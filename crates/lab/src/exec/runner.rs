//! The context in which runs are trained.

use std::sync::{Arc, atomic::AtomicBool};

use burn::prelude::*;
use training::{ProcessGroup, StepTracer};

use super::progress::ProgressDisplay;
use crate::{
    Plugins,
    spec::RunSpec,
    store::{Environment, Store},
};

/// The plug-ins, device and options that runs are trained with.
pub(crate) struct Runner<'a> {
    pub(crate) plugins: &'a Plugins,
    pub(crate) store: &'a Store,
    pub(crate) device: &'a Device,
    pub(crate) environment: &'a Environment,
    /// The largest number of concurrent runs; at most the number of threads.
    pub(crate) jobs: usize,
    /// Whether the routing of the runs is recorded.
    pub(crate) trace: bool,
    /// The display during the runs.
    pub(crate) shown: ProgressDisplay,
    /// Called with a line of text on each run that has ended.
    pub(crate) on_end: &'a (dyn Fn(&str) + Sync),
    /// Measures the time of the parts of each step, if set.
    pub(crate) tracer: Option<StepTracer>,
    /// The processes that train a run together.
    pub(crate) group: ProcessGroup,
    /// Set by Ctrl-C: runs write a checkpoint and stop.
    pub(crate) stop: Arc<AtomicBool>,
}

impl Runner<'_> {
    /// The processes of a run, which may split its experts.
    pub(super) fn group_of(&self, spec: &RunSpec) -> ProcessGroup {
        let group = self.group.clone();
        if spec.config.splits_experts() { group.splits_experts() } else { group }
    }
}
