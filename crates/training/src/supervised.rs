//! Supervised training: the loop to read first, and the one to fork.
//!
//! A step (`learner.rs`): draw a batch, forward, loss plus the layers' own losses, backward, clip, AdamW. All
//! random numbers follow from the seed and the step, so a run that was killed and continues from its
//! checkpoint ends with the same bits as one that never stopped.

use std::{io, time::Instant};

use backbones::AnyBackbone;
use tasks::{Split, Task};

use crate::{
    Checkpoint, Evaluation, ExampleScore, LogMark, Order, ProcessGroup, Run, StepLog, StepRow,
    TrainError, Watch, evaluate,
    finite::{check_evaluation, check_parameters},
    lead::begin,
    learner::{Learner, Now, StepMetrics},
    tracer::{Span, timed},
};

/// The result of a run.
pub struct Outcome {
    /// The trained network, in evaluation mode.
    pub model: AnyBackbone,
    /// The evaluation on the validation split.
    pub valid: Evaluation,
    /// The evaluation on the test split, if [`Run::test`] is true.
    pub test: Option<Evaluation>,
    /// Seconds spent in training steps, without evaluations.
    pub seconds: f64,
    /// Tokens seen in training, including those of repeated steps.
    pub tokens: usize,
    /// Floating-point operations of the forward passes of all steps, including repeated ones, with the work
    /// of the experts counted step by step.
    pub flops: f64,
    /// Further metrics of the training, by name.
    pub metrics: Vec<(String, f64)>,
}

/// Trains `model`, a network with initial weights on an autodiff device, from the start or from the run's
/// checkpoint.
pub fn supervised(
    run: &Run,
    model: AnyBackbone,
    watch: &mut dyn Watch,
) -> Result<Outcome, TrainError> {
    supervised_by(&ProcessGroup::alone(), run, model, watch)
}

/// The same as the first of several processes. The others call [`crate::follow`] with a run of the same task,
/// config and seed, and a network with the same weights.
pub fn supervised_by(
    group: &ProcessGroup,
    run: &Run,
    model: AnyBackbone,
    watch: &mut dyn Watch,
) -> Result<Outcome, TrainError> {
    let mut training = Training::begin(group, run, model)?;
    if training.at.step == 0 && watch.observes() {
        watch.observe(0, &training.learner.network()).map_err(TrainError::Observer)?;
    }
    while training.at.step < run.config.steps {
        training.step(watch)?;
    }
    training.end(watch)
}

/// The state of a run in training.
struct Training<'a> {
    run: &'a Run<'a>,
    at: Checkpoint,
    learner: Box<dyn Learner>,
    order: Order,
    log: StepLog,
}

impl<'a> Training<'a> {
    fn begin(
        group: &ProcessGroup,
        run: &'a Run<'a>,
        model: AnyBackbone,
    ) -> Result<Self, TrainError> {
        let (at, learner) = begin(group, run, model)?;
        let path = StepLog::path(run.folder);
        let old =
            || io::Error::other("its checkpoint.bin is from an older version; remove the folder");
        let log = match (at.step, &at.log) {
            (1.., None) => Err(old()),
            (_, mark) => StepLog::resume(&path, mark.as_ref()),
        };
        let log = log.map_err(|source| TrainError::Log { path, source })?;
        Ok(Self { run, at, learner, order: Order::of(run), log })
    }

    /// Makes a step; logs, evaluates and writes a checkpoint if they are due.
    fn step(&mut self, watch: &mut dyn Watch) -> Result<(), TrainError> {
        let (run, config, started) = (self.run, self.run.config, Instant::now());
        let logs = is_due(config.log_every, self.at.step + 1);
        let now = Now { run, step: self.at.step, logs };
        let metrics = self.learner.step(now, &mut self.order);
        self.count(&metrics);
        let stop = watch.stop();
        let saves = stop || self.is_due(config.checkpoint_every) || self.at.step == config.steps;
        self.check(saves)?;
        self.at.seconds += started.elapsed().as_secs_f64();
        if self.is_due(config.log_every) {
            self.log_step(metrics)?;
        }
        let (last, evaluates) = (self.at.step == config.steps, self.is_due(config.eval_every));
        if config.norm_batches > 0 && (last || evaluates) {
            self.learner.measure_norms(run); // before the checkpoint, which has them
        }
        if evaluates && !last {
            self.validate(watch)?;
        }
        if saves {
            timed(run.tracer, Span::Checkpoint, || self.save())?;
        }
        watch.step(self.at.step);
        match stop {
            true => Err(TrainError::Stopped { step: self.at.step }),
            false => Ok(()),
        }
    }

    fn is_due(&self, every: usize) -> bool {
        is_due(every, self.at.step)
    }

    /// Adds a step to the sums of the run.
    fn count(&mut self, metrics: &StepMetrics) {
        if let Some(load) = metrics.load {
            self.at.load = (self.at.load.0 + load, self.at.load.1 + 1);
        }
        self.at.flops += metrics.flops;
        self.at.step += 1;
    }

    /// If needed, reads the losses, and checks that losses and parameters are finite.
    fn check(&mut self, saves: bool) -> Result<(), TrainError> {
        let config = self.run.config;
        let evaluates = self.is_due(config.eval_every);
        if saves || self.is_due(config.log_every) || evaluates {
            self.learner.read(&mut self.at.losses)?;
        }
        if saves || evaluates {
            check_parameters(&self.learner.network(), self.at.step)?;
        }
        Ok(())
    }

    /// Logs the mean loss since the last row, and the metrics of the step.
    fn log_step(&mut self, metrics: StepMetrics) -> Result<(), TrainError> {
        let norm = f64::from(metrics.norm.into_scalar::<f32>());
        let (sum, count) = std::mem::take(&mut self.at.losses);
        let lr = self.run.config.lr_at(self.at.step - 1);
        let rows = [("loss", sum / count as f64), ("grad_norm", norm), ("lr", lr)];
        let own = metrics.scalars.iter().map(|(name, value)| (name.as_str(), *value));
        // A skipped step has no finite metrics.
        let rows = rows.into_iter().chain(own).filter(|(_, value)| value.is_finite());
        self.write(&rows_of(self.at.step, Split::Train, rows))
    }

    fn write(&mut self, rows: &[StepRow]) -> Result<(), TrainError> {
        self.log.add(rows).map_err(|source| log_failed(self.run, source))
    }

    /// Writes the checkpoint, after the rows of the log that its mark covers are on the disk.
    fn save(&mut self) -> Result<(), TrainError> {
        self.at.log = Some(self.sync_log()?);
        Ok(self.learner.save(&self.at, self.run.folder)?)
    }

    fn sync_log(&mut self) -> Result<LogMark, TrainError> {
        self.log.mark().map_err(|source| log_failed(self.run, source))
    }

    /// Evaluates the network on the validation split.
    fn validate(&mut self, watch: &mut dyn Watch) -> Result<(), TrainError> {
        let model = self.learner.network();
        let evaluation = self.evaluate(&model, Split::Valid);
        self.log_evaluation(Split::Valid, &evaluation)?;
        watch.observe(self.at.step, &model).map_err(TrainError::Observer)
    }

    fn evaluate(&self, model: &AnyBackbone, split: Split) -> Evaluation {
        let Run { task, device, tracer, .. } = *self.run;
        timed(tracer, Span::Evaluation, || evaluate(model, task, split, device))
    }

    fn log_evaluation(&mut self, split: Split, found: &Evaluation) -> Result<(), TrainError> {
        check_evaluation(found, split, self.at.step)?;
        self.write(&rows_of_evaluation(self.at.step, split, found))
    }

    /// Evaluates the trained network.
    fn end(mut self, watch: &mut dyn Watch) -> Result<Outcome, TrainError> {
        let (run, steps) = (self.run, self.run.config.steps);
        if steps == 0 {
            self.save()?;
        }
        let model = self.learner.network();
        watch.observe(steps, &model).map_err(TrainError::Observer)?;
        let valid = self.evaluate(&model, Split::Valid);
        let test = run.test.then(|| self.evaluate(&model, Split::Test));
        self.log_evaluation(Split::Valid, &valid)?;
        if let Some(test) = &test {
            self.log_evaluation(Split::Test, test)?;
            write_examples(run, test)?;
        }
        self.sync_log()?;
        let examples = run.config.examples_before(steps) + self.learner.more();
        let tokens = (examples as f64 * tokens_of_example(run.task, &model)) as usize;
        let (load, n) = self.at.load;
        let load = (n > 0).then(|| ("early_load".to_string(), load / n as f64));
        let metrics = self.learner.metrics(run).into_iter().chain(load).collect();
        let (seconds, flops) = (self.at.seconds, self.at.flops);
        Ok(Outcome { model, valid, test, seconds, tokens, flops, metrics })
    }
}

/// The tokens of one example in training, on average.
fn tokens_of_example(task: &dyn Task, model: &AnyBackbone) -> f64 {
    match task.as_translation() {
        Some(translation) => translation.tokens_of_example(),
        None => model.tokens() as f64,
    }
}

fn log_failed(run: &Run, source: io::Error) -> TrainError {
    TrainError::Log { path: StepLog::path(run.folder), source }
}

/// Writes the scores of the test examples, if there are any.
fn write_examples(run: &Run, test: &Evaluation) -> Result<(), TrainError> {
    if test.examples.is_empty() {
        return Ok(());
    }
    let path = ExampleScore::path(run.folder);
    ExampleScore::write(run.folder, &test.examples)
        .map_err(|source| TrainError::Log { path, source })
}

/// Whether an action that is due every `every` steps, or never if that is 0, is due after this step.
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

/// The measures, and for each MoE layer and expert its share of all slots as `load/LAYER/EXPERT`.
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
