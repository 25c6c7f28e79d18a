//! What runs are trained with.

use std::sync::{Arc, atomic::AtomicBool};

use burn::prelude::*;
use training::StepTracer;

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
    /// Is it written down how they route?
    pub(crate) trace: bool,
    /// Is progress shown as a page?
    pub(crate) tui: bool,
    /// Who takes note of where the time goes, if anyone.
    pub(crate) tracer: Option<StepTracer>,
    /// Set by Ctrl-C: runs write a checkpoint and stop.
    pub(crate) stop: Arc<AtomicBool>,
}
