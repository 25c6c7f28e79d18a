//! The files of traces: when they are written, and where.
//!
//! At most about [`FILES`] files a run. Traces change nothing in the run.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use backbones::AnyBackbone;
use burn::prelude::*;
use report::trace::Trace;
use tasks::Task;
use training::{Watch, write_atomic};

use super::{
    pair_trace::{SIDES, sides},
    trace::record,
};
use crate::spec::RunSpec;

/// The most files of a run, about.
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

/// Writes the trace of a network after so many steps; nothing if it has no MoE layers.
pub(crate) fn write(
    spec: &RunSpec,
    task: &dyn Task,
    folder: &Path,
    model: &AnyBackbone,
    step: usize,
    device: &Device,
) -> io::Result<()> {
    let whole = record(spec, task, model, step, device).map(|trace| ("", trace));
    for (side, trace) in whole.into_iter().chain(sides(spec, task, model, step, device)) {
        let path = path(folder, side, step);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        write_atomic(&path, &trace.to_bytes().map_err(io::Error::other)?)?;
    }
    Ok(())
}

/// Whether there is a trace of a run after so many steps.
pub(crate) fn is_written(folder: &Path, step: usize) -> bool {
    ["", SIDES[0], SIDES[1]].iter().any(|side| path(folder, side, step).exists())
}

/// The file of a trace, of an encoder-decoder in a folder for each side.
fn path(folder: &Path, side: &str, step: usize) -> PathBuf {
    let file = folder.join(Trace::file_name(step as u64));
    let name = file.file_name().map(PathBuf::from).unwrap_or_default();
    folder.join("trace").join(side).join(name)
}
