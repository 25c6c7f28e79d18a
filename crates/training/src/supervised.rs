//! Supervised training: the loop to read, and to fork.
//!
//! A step (`learner.rs`): draw a batch, forward, loss plus the layers' own losses, backward, clip,
//! AdamW. All that is random follows from the seed and the step, so a run that was killed and goes on
//! from its checkpoint ends with the same bits as one that never stopped.

use std::{
    io,
    path::{Path, PathBuf},
    time::Instant,
};

use backbones::AnyBackbone;
use burn::prelude::*;
use tasks::{Split, Task};

use crate::{
    CheckpointError, Evaluation, ExampleScore, Order, StepLog, StepRow, TrainConfig, evaluate,
    finite::{check_evaluation, check_parameters},
    learner::{Now, begin},
    tracer::{Span, StepTracer, timed},
};

/// The task, settings and folder of a run.
pub struct Run<'a> {
    /// The task to learn.
    pub task: &'a dyn Task,
    /// Budget, optimizer and schedule.
    pub config: &'a TrainConfig,
    /// Seeds data order and everything random in the passes.
    pub seed: u64,
    /// The device, without autodiff.
    pub device: &'a Device,
    /// The run's own folder; it exists.
    pub folder: &'a Path,
    /// Whether the test split is evaluated, once, at the end. A run that serves to choose a setting
    /// must not use it.
    pub test: bool,
    /// A tracer of the time that each part of a step takes; it changes nothing in the run.
    pub tracer: Option<&'a StepTracer>,
}

/// An observer of a run.
pub trait Watch {
    /// `done` steps are done.
    fn step(&mut self, done: usize);
    /// Whether the run should stop with a checkpoint.
    fn stop(&self) -> bool;
    /// Whether [`Watch::look`] is to be called.
    fn looks(&self) -> bool {
        false
    }
    /// The network after `done` steps, not for training: at the start, with each evaluation, and at
    /// the end. It must not change the run.
    fn look(&mut self, _done: usize, _model: &AnyBackbone) -> io::Result<()> {
        Ok(())
    }
}

/// The result of a run.
pub struct Outcome {
    /// The trained network, not for training any more.
    pub model: AnyBackbone,
    /// The evaluation on the validation split.
    pub valid: Evaluation,
    /// The evaluation on the test split, if [`Run::test`] is true.
    pub test: Option<Evaluation>,
    /// Seconds spent in training steps, evaluations not counted.
    pub seconds: f64,
    /// Tokens seen in training, those of steps that were tried again among them.
    pub tokens: usize,
    /// Floating-point operations of the forward passes of all steps, those that were tried again among
    /// them: what the experts of each step worked on is counted step by step.
    pub flops: f64,
    /// Further metrics of the training, by name.
    pub told: Vec<(String, f64)>,
}

/// The reason for which a run did not end.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A loss, a parameter, a routing weight or a measure is not finite.
    #[error("{what} is {value} at step {step}")]
    Diverged {
        /// The step, counted from 1; 0 before the first.
        step: usize,
        /// The name of the number.
        what: String,
        /// NaN or infinity.
        value: f32,
    },
    /// It was stopped. A checkpoint exists.
    #[error("stopped after step {step}")]
    Stopped {
        /// Steps done.
        step: usize,
    },
    /// The checkpoint cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The observer of the network cannot write its file.
    #[error("{0}")]
    Look(io::Error),
    /// The log, or the scores of the test examples, cannot be read or written.
    #[error("{path}: {source}")]
    Log {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Trains `model`, as the run begins and on an autodiff device, from the start or from the run's
/// checkpoint.
pub fn supervised(
    run: &Run,
    model: AnyBackbone,
    watch: &mut dyn Watch,
) -> Result<Outcome, TrainError> {
    let Run { task, config, seed, device, folder, test, tracer } = run;
    let (mut at, mut learner) = begin(run, model)?;
    let path = StepLog::path(folder);
    let failed = |source| TrainError::Log { path: path.clone(), source };
    // The last evaluation is made after the last checkpoint, so it is always made again.
    let last = |row: &StepRow| row.step == config.steps && row.split != Split::Train.name();
    let keep = |row: &StepRow| row.step <= at.step && !last(row);
    let mut log = StepLog::resume(&path, keep).map_err(failed)?;
    let n = task.len(Split::Train);
    let mut order = match task.as_stream().is_some() {
        true => Order::in_rows(n, config.batch),
        false => Order::new(*seed, n),
    };
    if at.step == 0 && watch.looks() {
        watch.look(0, &learner.network()).map_err(TrainError::Look)?;
    }

    while at.step < config.steps {
        let started = Instant::now();
        let tells = is_due(config.log_every, at.step + 1);
        let told = learner.step(Now { run, step: at.step, tells }, &mut order);
        let lr = config.lr_at(at.step);
        if let Some(load) = told.load {
            at.load = (at.load.0 + load, at.load.1 + 1);
        }
        at.flops += told.flops;
        at.step += 1;
        let due = |every| is_due(every, at.step);
        let stop = watch.stop();
        let saves = stop || due(config.checkpoint_every) || at.step == config.steps;
        if saves || due(config.log_every) || due(config.eval_every) {
            learner.read(&mut at.losses)?;
        }
        if saves || due(config.eval_every) {
            check_parameters(&learner.network(), at.step)?;
        }
        at.seconds += started.elapsed().as_secs_f64();

        if due(config.log_every) {
            let norm = f64::from(told.norm.into_scalar::<f32>());
            let rows =
                [("loss", at.losses.0 / at.losses.1 as f64), ("grad_norm", norm), ("lr", lr)];
            let own = told.scalars.iter().map(|(name, value)| (name.as_str(), *value));
            // A step that was left out has no number to tell.
            let rows = rows.into_iter().chain(own).filter(|(_, value)| value.is_finite());
            log.add(&rows_of(at.step, Split::Train, rows)).map_err(failed)?;
            at.losses = (0.0, 0);
        }
        if due(config.eval_every) && at.step < config.steps {
            let model = learner.network();
            let evaluation =
                timed(*tracer, Span::Evaluation, || evaluate(&model, *task, Split::Valid, device));
            check_evaluation(&evaluation, Split::Valid, at.step)?;
            log.add(&rows_of_evaluation(at.step, Split::Valid, &evaluation)).map_err(failed)?;
            watch.look(at.step, &model).map_err(TrainError::Look)?;
        }
        if saves {
            timed(*tracer, Span::Checkpoint, || learner.save(&at, folder))?;
        }
        watch.step(at.step);
        if stop {
            return Err(TrainError::Stopped { step: at.step });
        }
    }

    if config.steps == 0 {
        learner.save(&at, folder)?;
    }
    let model = learner.network();
    watch.look(config.steps, &model).map_err(TrainError::Look)?;
    let of = |split| timed(*tracer, Span::Evaluation, || evaluate(&model, *task, split, device));
    let (valid, test) = (of(Split::Valid), test.then(|| of(Split::Test)));
    for (split, found) in [(Split::Valid, Some(&valid)), (Split::Test, test.as_ref())] {
        let Some(found) = found else { continue };
        check_evaluation(found, split, config.steps)?;
        log.add(&rows_of_evaluation(config.steps, split, found)).map_err(failed)?;
    }
    if let Some(test) = test.as_ref().filter(|test| !test.examples.is_empty()) {
        let path = ExampleScore::path(folder);
        ExampleScore::write(folder, &test.examples)
            .map_err(|source| TrainError::Log { path, source })?;
    }
    let tokens_of_example = match task.as_translation() {
        Some(translation) => translation.tokens_of_example(),
        None => model.tokens() as f64,
    };
    let tokens = (config.examples_before(config.steps) + learner.more()) as f64 * tokens_of_example;
    let load = (at.load.1 > 0).then(|| ("early_load".to_string(), at.load.0 / at.load.1 as f64));
    let told = learner.tells(run).into_iter().chain(load).collect();
    Ok(Outcome {
        model,
        valid,
        test,
        seconds: at.seconds,
        tokens: tokens as usize,
        flops: at.flops,
        told,
    })
}

/// Whether an action that is due every `every` steps, or never for 0, is due after this step.
fn is_due(every: usize, step: usize) -> bool {
    every > 0 && step.is_multiple_of(every)
}

fn rows_of<'a>(
    step: usize,
    split: Split,
    numbers: impl Iterator<Item = (&'a str, f64)>,
) -> Vec<StepRow> {
    let row = |(metric, value): (&str, f64)| StepRow {
        step,
        split: split.name().into(),
        metric: metric.into(),
        value,
    };
    numbers.map(row).collect()
}

/// The measures, and for each MoE layer and expert `load/LAYER/EXPERT`, its share of all slots.
fn rows_of_evaluation(step: usize, split: Split, evaluation: &Evaluation) -> Vec<StepRow> {
    let numbers = evaluation.numbers();
    let numbers = numbers.iter().map(|(name, value)| (name.as_str(), *value));
    let mut rows = rows_of(step, split, numbers);
    for layer in &evaluation.layers {
        let total: f64 = layer.load.iter().sum();
        for (expert, load) in layer.load.iter().enumerate() {
            let metric = format!("load/{}/{expert}", layer.layer);
            rows.push(StepRow { step, split: split.name().into(), metric, value: load / total });
        }
    }
    rows
}
