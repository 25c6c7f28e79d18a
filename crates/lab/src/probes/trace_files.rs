//! The files of traces: their names and the steps at which they are written.
//!
//! A run has at most about [`FILES`] files. Recording traces changes nothing in the run.

use std::{io, path::Path};

use backbones::AnyBackbone;
use burn::prelude::*;
use files::{create_folder, write_atomic};
use report::trace::Trace;
use tasks::Task;
use training::Watch;

use super::{
    pair_trace::{SIDES, sides},
    trace::record,
};
use crate::{spec::RunSpec, store::has_file};

/// The approximate maximum number of files of a run.
const FILES: usize = 32;

/// Observes a run, and writes its traces.
pub(crate) struct Tracer<'a, W> {
    pub(crate) watch: W,
    pub(crate) spec: &'a RunSpec,
    pub(crate) task: &'a dyn Task,
    pub(crate) folder: &'a Path,
    pub(crate) device: &'a Device,
}

impl<W: Watch> Watch for Tracer<'_, W> {
    fn step(&mut self, done: usize) {
        self.watch.step(done);
    }

    fn stop(&self) -> bool {
        self.watch.stop()
    }

    fn observes(&self) -> bool {
        true
    }

    fn observe(&mut self, done: usize, model: &AnyBackbone) -> io::Result<()> {
        let train = &self.spec.config.train;
        let nth = done.checked_div(train.eval_every).unwrap_or(0);
        let every = (train.steps.checked_div(train.eval_every).unwrap_or(0)).div_ceil(FILES).max(1);
        if done == train.steps || nth.is_multiple_of(every) {
            write(self.spec, self.task, self.folder, model, done, self.device)?;
        }
        Ok(())
    }
}

/// Writes the trace of a network after some steps, and returns the names of its files; none if it has no MoE
/// layers.
pub(crate) fn write(
    spec: &RunSpec,
    task: &dyn Task,
    folder: &Path,
    model: &AnyBackbone,
    step: usize,
    device: &Device,
) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    let whole = record(spec, task, model, step, device).map(|trace| ("", trace));
    for (side, trace) in whole.into_iter().chain(sides(spec, task, model, step, device)) {
        let name = name(side, step);
        let path = folder.join(&name);
        create_folder(path.parent().unwrap_or(folder))?;
        write_atomic(&path, &trace.to_bytes().map_err(io::Error::other)?)?;
        names.push(name);
    }
    Ok(names)
}

/// Whether a run has a trace after `step` steps.
///
/// # Errors
/// If the run's `result.json` is damaged, or belongs to another run.
pub(crate) fn is_written(folder: &Path, step: usize) -> anyhow::Result<bool> {
    for side in ["", SIDES[0], SIDES[1]] {
        if has_file(folder, &name(side, step))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The name of a trace's file in the folder of its run; for an encoder-decoder, in a folder for each side.
fn name(side: &str, step: usize) -> String {
    let name = Trace::file_name(step as u64);
    match side {
        "" => name,
        side => name.replacen("trace/", &format!("trace/{side}/"), 1),
    }
}
