//! What the tests of whole trainings have in common: networks of the standard plug-ins, and watches.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::sync::Arc;

use backbones::{AnyBackbone, BackboneSpec};
use burn::prelude::*;
use moe::{Choice, Init, Library, MoeConfig};
use tasks::{DataDir, Task};
use training::Watch;

/// A standard task with these settings.
pub(crate) fn task(choice: &Choice) -> Arc<dyn Task> {
    let load = tasks::all().get(&choice.kind).unwrap().build;
    load(choice, &DataDir::default()).unwrap().task
}

/// A fresh network for a task, on an autodiff device.
pub(crate) fn network(task: &dyn Task, backbone: &Choice, moe: &MoeConfig) -> AnyBackbone {
    let library =
        Library { routers: routers::all(), experts: experts::all(), residuals: residuals::all() };
    let spec =
        BackboneSpec { domain: task.domain(), outputs: task.outputs(), moe, library: &library };
    let build = backbones::all().get(&backbone.kind).unwrap().build.init;
    build(backbone, &spec, &Init::new(1, &Device::flex().autodiff())).unwrap()
}

/// Stops after this many steps, if ever.
#[derive(Default)]
pub(crate) struct StopAfter {
    steps: Option<usize>,
    done: usize,
}

impl StopAfter {
    /// A watch that stops the run after so many steps of the whole.
    pub(crate) fn new(steps: Option<usize>) -> Self {
        Self { steps, done: 0 }
    }
}

impl Watch for StopAfter {
    fn step(&mut self, done: usize) {
        self.done = done + 1;
    }
    fn stop(&self) -> bool {
        self.steps == Some(self.done.max(1))
    }
}
