//! The part of a run that processes other than the leading one execute.

use anyhow::{Context, anyhow};
use training::{Objective, Run, TrainError, follow};

use super::{model_builder::ModelBuilder, runner::Runner, together::agree};
use crate::spec::RunSpec;

impl Runner<'_> {
    /// Tells the other processes which run is next, and waits until they are ready for it.
    pub(super) fn announce(&self, spec: &RunSpec) -> anyhow::Result<()> {
        if self.group.is_alone() {
            return Ok(());
        }
        self.group.world.broadcast(spec.id.as_bytes());
        agree(&*self.group.world, Ok(()))
    }

    /// Takes part in the runs that the first process trains, until the first process dismisses the others.
    pub(crate) fn follow(&self, known: &[&RunSpec]) -> anyhow::Result<()> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(self.environment.threads).build()?;
        loop {
            let id = self.group.world.broadcast(&[]);
            match String::from_utf8_lossy(&id) {
                id if id.is_empty() => return Ok(()),
                id => pool.install(|| self.follow_run(&id, known))?,
            }
        }
    }

    fn follow_run(&self, id: &str, known: &[&RunSpec]) -> anyhow::Result<()> {
        let builder =
            ModelBuilder { plugins: self.plugins, store: self.store, device: self.device };
        let spec = known.iter().find_map(|spec| find(spec, id));
        let ready = spec.with_context(|| format!("no run {id} in this process")).and_then(|spec| {
            let distill = builder.teaching(spec)?;
            Ok((spec, builder.begin(spec)?, builder.task_for(spec)?, distill))
        });
        let Ok((spec, model, task, distill)) = agree(&*self.group.world, ready) else {
            return Ok(()); // the first process says so
        };
        let run = Run {
            task: &*task,
            config: &spec.config.train,
            seed: spec.seed,
            device: self.device,
            folder: &self.store.folder(id),
            test: false,
            objective: distill.as_ref().map(|distill| distill as &dyn Objective),
            tracer: None,
        };
        match follow(&self.group_of(spec), &run, model) {
            // The first process cannot begin this run either; it reports the error and continues with the
            // next run.
            Ok(())
            | Err(
                TrainError::Elsewhere { .. }
                | TrainError::Checkpoint(_)
                | TrainError::Scope(_)
                | TrainError::Experts(_),
            ) => Ok(()),
            Err(other) => Err(anyhow!(other)),
        }
    }
}

/// The run with this id, among a run and the runs that it depends on.
fn find<'a>(spec: &'a RunSpec, id: &str) -> Option<&'a RunSpec> {
    match spec.id == id {
        true => Some(spec),
        false => spec.prerequisites().find_map(|before| find(before, id)),
    }
}
