//! Shared parts of the tests of whole trainings, in `src` too: tasks, networks, and watches.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::sync::Arc;

use backbones::{AnyBackbone, BackboneSpec};
use burn::prelude::*;
use moe::{Choice, Init, Library, MoeConfig};
use tasks::{DataDir, Task};
use training::{Watch, supernet::Supernet};

/// A standard task with these settings.
pub(crate) fn task(choice: &Choice) -> Arc<dyn Task> {
    let load = tasks::all().get(&choice.kind).unwrap().build;
    load(choice, &DataDir::default()).unwrap().task
}

/// The standard plug-ins.
pub(crate) fn library() -> Library {
    Library { routers: routers::all(), experts: experts::all(), residuals: residuals::all() }
}

/// A fresh network of the standard plug-ins for a task, on an autodiff device.
pub(crate) fn network(task: &dyn Task, backbone: &Choice, moe: &MoeConfig) -> AnyBackbone {
    network_of(&library(), 1, task, backbone, moe)
}

/// A fresh network of these plug-ins, with the initial weights of a seed.
pub(crate) fn network_of(
    library: &Library,
    seed: u64,
    task: &dyn Task,
    backbone: &Choice,
    moe: &MoeConfig,
) -> AnyBackbone {
    let spec = BackboneSpec { domain: task.domain(), outputs: task.outputs(), moe, library };
    let backbones = backbones::all().with::<Supernet>();
    let build = backbones.get(&backbone.kind).unwrap().build.init;
    build(backbone, &spec, &Init::new(seed, &Device::flex().autodiff())).unwrap()
}

/// A watch that stops a run in its n-th step since it began or continued, if a step is given.
#[derive(Default)]
pub(crate) struct StopAfter {
    steps: Option<usize>,
    done: usize,
}

impl StopAfter {
    /// A watch that stops the run in this step, counted from 1.
    pub(crate) fn new(steps: Option<usize>) -> Self {
        Self { steps, done: 0 }
    }
}

impl Watch for StopAfter {
    fn step(&mut self, _done: usize) {
        self.done += 1;
    }
    fn stop(&self) -> bool {
        self.steps == Some(self.done + 1)
    }
}
