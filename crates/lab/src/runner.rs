//! Trains the runs of a suite: several side by side, each on processors of its own.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context, anyhow, bail};
use burn::{module::Module, prelude::*};
use sha2::{Digest, Sha256};
use training::{Evaluation, Outcome, Run, StepTracer, TrainError, params_of, supervised};

use crate::{
    Plugins,
    analyses::Subject,
    code::hex,
    environment::Environment,
    memory,
    progress::Progress,
    ranks,
    run_spec::RunSpec,
    start::ModelBuilder,
    store::{Ended, Numbers, Store},
    trace::Tracer,
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

impl Runner<'_> {
    /// Trains those runs that have not ended yet. The first error is given back; a run that
    /// diverges is no error, it ends as failed.
    ///
    /// Runs share nothing, so it does not matter for their numbers which are side by side: with T
    /// threads and at least T runs, each run has one thread, which wastes least.
    ///
    /// Runs that others need come before those.
    pub(crate) fn train(&self, cells: &[&RunSpec]) -> anyhow::Result<()> {
        let mut waiting = Vec::new();
        for cell in cells.iter().filter(|cell| cell.refused.is_none()) {
            self.wait_for(cell, &mut waiting)?;
        }
        // A run that is asked for by itself goes by that name.
        for waits in waiting.iter_mut().flatten() {
            *waits = cells.iter().find(|cell| cell.id == waits.id).unwrap_or(waits);
        }
        waiting.into_iter().try_for_each(|generation| self.train_generation(generation))
    }

    /// Puts a run that has not ended where it belongs: in a later generation than the runs that come
    /// before it. Gives the number of its own.
    fn wait_for<'c>(
        &self,
        cell: &'c RunSpec,
        waiting: &mut Vec<Vec<&'c RunSpec>>,
    ) -> anyhow::Result<usize> {
        if self.store.ended(&cell.id)?.is_some() {
            return Ok(0);
        }
        let mut generation = 0;
        for before in cell.before() {
            generation = generation.max(self.wait_for(before, waiting)? + 1);
        }
        if waiting.len() <= generation {
            waiting.resize_with(generation + 1, Vec::new);
        }
        if !waiting[generation].iter().any(|known| known.id == cell.id) {
            waiting[generation].push(cell);
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
        let progress = Progress::new(&waiting, self.tui, self.stop.clone());
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

    /// Takes runs from the queue until it is empty. After an error the others go on.
    fn work<'c>(
        &self,
        threads: usize,
        alone: bool,
        queue: &Mutex<impl Iterator<Item = &'c RunSpec>>,
        progress: &Progress,
    ) -> anyhow::Result<()> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        let mut first_error = Ok(());
        loop {
            let next = queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next();
            let Some(cell) = next else { return first_error };
            if self.stop.load(Ordering::Relaxed) {
                return first_error;
            }
            if alone {
                memory::forget_peak();
            }
            let what = || format!("{}, {}, seed {}", cell.method, cell.config.task.kind, cell.seed);
            let run = || pool.install(|| self.run(cell, progress));
            let ended = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
                Err(anyhow!("the program has a bug: {}", message(&*panic)))
            });
            first_error = first_error.and(ended.with_context(what));
            progress.run_is_over();
        }
    }

    /// Trains one run to its end, or until it is told to stop.
    fn run(&self, cell: &RunSpec, progress: &Progress) -> anyhow::Result<()> {
        let Some(_lock) = self.store.lock(&cell.id)? else { return Ok(()) };
        if self.store.ended(&cell.id)?.is_some() {
            return Ok(()); // another process was faster
        }
        if let Some(cause) = self.lacks_its_start(cell)? {
            return self.store.end(&cell.id, &Ended::Failed { step: 0, cause });
        }
        let site = ModelBuilder { plugins: self.plugins, store: self.store, device: self.device };
        let (model, data) = (site.begin(cell)?, site.task_for(cell)?);
        self.store.write(&cell.id, "config.json", &cell.description())?;
        self.store.write(&cell.id, "environment.json", self.environment)?;
        if let Some(tokenizer) = data.tokenizer().and_then(|tokenizer| tokenizer.file()) {
            let value: serde_json::Value = serde_json::from_str(&tokenizer)?;
            self.store.write(&cell.id, "tokenizer.json", &value)?;
        }
        let run = Run {
            task: &*data,
            config: &cell.config.train,
            seed: cell.seed,
            device: self.device,
            folder: &self.store.folder(&cell.id),
            test: !cell.trial,
            tracer: self.tracer.as_ref(),
        };
        let mut line = progress.line(cell, self.store.folder(&cell.id));
        let ended = match self.trace {
            true => {
                let (task, folder, device) = (run.task, run.folder, self.device);
                supervised(&run, model, &mut Tracer { watch: line, cell, task, folder, device })
            }
            false => supervised(&run, model, &mut line),
        };
        match ended {
            Ok(outcome) => self.finish(cell, &run, outcome),
            Err(TrainError::Diverged { step, loss }) => {
                let cause = format!("the loss is {loss}");
                self.store.end(&cell.id, &Ended::Failed { step, cause })
            }
            Err(TrainError::Stopped { .. }) => Ok(()),
            Err(other) => Err(other.into()),
        }
    }

    /// Writes down what a run ended with. It has failed if a measure is no finite number.
    fn finish(&self, cell: &RunSpec, run: &Run, mut outcome: Outcome) -> anyhow::Result<()> {
        let step = cell.config.train.steps;
        if let Some(few_shot) = &cell.config.few_shot
            && let Err(why) = few_shot.judge(run, &mut outcome)
        {
            let cause = format!("few_shot: {why}");
            return self.store.end(&cell.id, &Ended::Failed { step, cause });
        }
        let metrics = metrics(&outcome);
        if let Some((split, metric, value)) = metrics.iter().find(|(.., value)| !value.is_finite())
        {
            let cause = format!("{metric} is {value} on the {split} split");
            return self.store.end(&cell.id, &Ended::Failed { step, cause });
        }
        if self.trace {
            let subject = Subject { model: &outcome.model, task: run.task, device: self.device };
            ranks::write(cell, self.store, &subject)?;
        }
        self.store.end(&cell.id, &Ended::Done(self.numbers(cell, metrics, outcome)?))
    }

    /// Why a run cannot start, if so: a run that comes before it has failed.
    fn lacks_its_start(&self, cell: &RunSpec) -> anyhow::Result<Option<String>> {
        for before in cell.before() {
            if self.store.ended(&before.id)?.is_none() {
                drop(self.store.wait_for(&before.id)?); // another process is at it
            }
            match self.store.ended(&before.id)? {
                Some(Ended::Done(_)) => {}
                Some(Ended::Failed { cause, .. }) => {
                    return Ok(Some(format!("the run before it, {}, failed: {cause}", before.id)));
                }
                None => bail!("the run before it, {}, has been stopped", before.id),
            }
        }
        Ok(None)
    }

    fn numbers(
        &self,
        cell: &RunSpec,
        metrics: Vec<(String, String, f64)>,
        outcome: Outcome,
    ) -> anyhow::Result<Numbers> {
        let of = outcome.test.as_ref().unwrap_or(&outcome.valid);
        let router_params = params_of(&outcome.model, "router") as f64;
        let weights = outcome.model.into_record().into_bytes()?;
        Ok(Numbers {
            metrics,
            step: cell.config.train.steps,
            params: of.params,
            active_params: of.active_params,
            router_params,
            flops_per_token: of.flops_per_token,
            tokens: outcome.tokens as f64,
            seconds: outcome.seconds,
            peak_memory: memory::peak(),
            weights: hex(&Sha256::digest(&*weights)),
            device: self.environment.device.clone(),
        })
    }
}

/// All measures of a run: split, metric, value.
fn metrics(outcome: &Outcome) -> Vec<(String, String, f64)> {
    let named = |split: &str, evaluation: &Evaluation| {
        let row = |(metric, value): (String, f64)| (split.to_string(), metric, value);
        evaluation.numbers().into_iter().map(row).collect::<Vec<_>>()
    };
    let mut metrics = named("valid", &outcome.valid);
    metrics.extend(outcome.test.iter().flat_map(|test| named("test", test)));
    let told = outcome.told.iter().cloned();
    metrics.extend(told.map(|(metric, value)| ("train".into(), metric, value)));
    // A run of no steps has no speed.
    if outcome.seconds > 0.0 {
        let speed = outcome.tokens as f64 / outcome.seconds;
        metrics.push(("train".into(), "tokens_per_second".into(), speed));
    }
    metrics
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
