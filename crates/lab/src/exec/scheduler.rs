//! Trains the runs of a suite, several at a time, each on its own processors.

use std::{
    any::Any,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Mutex, atomic::Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, anyhow};

use super::{job::Turn, memory, model_builder::ModelBuilder, progress::Progress, runner::Runner};
use crate::spec::{RunConfig, RunSpec};

/// The interval at which this program checks whether another process still trains a run.
const WAIT: Duration = Duration::from_millis(50);

impl Runner<'_> {
    /// Trains those of the runs that have not ended yet. Returns the first error; a run that diverges is no
    /// error, it ends as failed.
    ///
    /// Runs are independent of each other, so their numbers do not depend on which of them run concurrently.
    /// With T threads and at least T runs, each run has one thread, which is the most efficient use.
    ///
    /// A run is trained after the runs that it depends on. If another process is training a run, this one
    /// waits for it.
    pub(crate) fn train(&self, specs: &[&RunSpec]) -> anyhow::Result<()> {
        self.check_starts(specs)?;
        let mut waiting = Vec::new();
        for spec in specs.iter().filter(|spec| spec.refused.is_none()) {
            self.wait_for(spec, &mut waiting)?;
        }
        // A run that belongs to the suite keeps the name that its method has there.
        for waits in waiting.iter_mut().flatten() {
            *waits = specs.iter().find(|spec| spec.id == waits.id).unwrap_or(waits);
        }
        waiting.into_iter().try_for_each(|generation| self.train_generation(generation))
    }

    /// Checks, once for all seeds, that runs that have not ended can take over weights from the runs that
    /// they depend on.
    fn check_starts(&self, specs: &[&RunSpec]) -> anyhow::Result<()> {
        let builder =
            ModelBuilder { plugins: self.plugins, store: self.store, device: self.device };
        let mut checked: Vec<&RunConfig> = Vec::new();
        for spec in specs.iter().filter(|spec| spec.refused.is_none()) {
            if !checked.contains(&&spec.config) && self.store.ended(&spec.id)?.is_none() {
                builder.check_start(spec)?;
                builder.check_parts(spec)?;
                checked.push(&spec.config);
            }
        }
        Ok(())
    }

    /// Puts a run that has not ended into a later generation than the runs that it depends on. Returns the
    /// number of its generation.
    fn wait_for<'c>(
        &self,
        spec: &'c RunSpec,
        waiting: &mut Vec<Vec<&'c RunSpec>>,
    ) -> anyhow::Result<usize> {
        if self.store.ended(&spec.id)?.is_some() {
            return Ok(0);
        }
        let mut generation = 0;
        for before in spec.prerequisites() {
            generation = generation.max(self.wait_for(before, waiting)? + 1);
        }
        if waiting.len() <= generation {
            waiting.resize_with(generation + 1, Vec::new);
        }
        if !waiting[generation].iter().any(|known| known.id == spec.id) {
            waiting[generation].push(spec);
        }
        Ok(generation)
    }

    fn train_generation(&self, waiting: Vec<&RunSpec>) -> anyhow::Result<()> {
        if waiting.is_empty() || self.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        let side_by_side = self.jobs.min(self.environment.threads).min(waiting.len());
        let threads = self.environment.threads / side_by_side;
        let alone = side_by_side == 1;
        let progress = Progress::new(&waiting, self.shown, self.stop.clone());
        let queue = Mutex::new(waiting.into_iter());
        let errors = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..side_by_side {
                scope.spawn(|| {
                    if let Err(err) = self.work(threads, alone, &queue, &progress) {
                        errors.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(err);
                    }
                });
            }
        });
        let errors = errors.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        errors.into_iter().next().map_or(Ok(()), Err)
    }

    /// Takes runs from the queue until it is empty. After an error the other threads continue.
    fn work<'c>(
        &self,
        threads: usize,
        alone: bool,
        queue: &Mutex<impl Iterator<Item = &'c RunSpec>>,
        progress: &Progress,
    ) -> anyhow::Result<()> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        let mut first_error = Ok(());
        // Runs that other processes are training. If such a process is killed, this one trains its run.
        let mut elsewhere: VecDeque<&RunSpec> = VecDeque::new();
        loop {
            let next = queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next();
            let waits = next.is_none();
            let Some(spec) = next.or_else(|| elsewhere.pop_front()) else { return first_error };
            if self.stop.load(Ordering::Relaxed) {
                return first_error;
            }
            if alone {
                memory::forget_peak();
            }
            let what = || format!("{}, {}, seed {}", spec.method, spec.config.task.kind, spec.seed);
            let run = || pool.install(|| self.run(spec, progress));
            let ended = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
                // The other processes may be at any point: this one must end, and they end with it.
                if !self.group.is_alone() {
                    resume_unwind(panic);
                }
                Err(anyhow!("the program has a bug: {}", message(&*panic)))
            });
            if matches!(ended, Ok(Turn::Elsewhere)) {
                elsewhere.push_back(spec);
                if waits {
                    thread::sleep(WAIT);
                }
                continue;
            }
            let folder = self.store.folder(&spec.id);
            let line = format!("{} has ended: {}", what(), folder.display());
            first_error = first_error.and(ended.map(drop).with_context(what));
            progress.run_is_over(|| (self.on_end)(&line));
        }
    }
}

/// The message of a panic.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
