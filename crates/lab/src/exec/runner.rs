//! The context in which runs are trained.

use std::sync::{Arc, atomic::AtomicBool};

use burn::prelude::*;
use training::StepTracer;

use super::progress::Shown;
use crate::{
    Plugins,
    store::{Environment, Store},
};

/// What runs are trained with.
pub(crate) struct Runner<'a> {
    pub(crate) plugins: &'a Plugins,
    pub(crate) store: &'a Store,
    pub(crate) device: &'a Device,
    pub(crate) environment: &'a Environment,
    /// How many runs go on side by side, at most; never more than there are threads.
    pub(crate) jobs: usize,
    /// Whether their routing is recorded.
    pub(crate) trace: bool,
    /// What is displayed meanwhile.
    pub(crate) shown: Shown,
    /// Is called with a line on each run that has ended.
    pub(crate) on_end: &'a (dyn Fn(&str) + Sync),
    /// Measures the time of the parts of each step.
    pub(crate) tracer: Option<StepTracer>,
    /// Set by Ctrl-C: runs write a checkpoint and stop.
    pub(crate) stop: Arc<AtomicBool>,
}
