//! One run, from its start to its recorded result.

use anyhow::{Context, bail};
use backbones::AnyBackbone;
use files::hex;
use moe::parameters;
use tasks::Task;
use training::{
    Checkpoint, Evaluation, Objective, Outcome, Run, TrainError, params_of, record_digest,
    supervised_by,
};

use super::{
    import::Imported, memory, model_builder::ModelBuilder, progress::Progress, runner::Runner,
};
use crate::{
    probes::{Subject, Tracer, routing_numbers},
    spec::RunSpec,
    store::{Ended, NotFinite, Numbers},
};

/// The outcome of one attempt at a run.
pub(super) enum Turn {
    /// The run has ended, in this process or another one, or was stopped.
    Over,
    /// Another process is training the run.
    Elsewhere,
}

impl Runner<'_> {
    /// Trains one run to its end, or until it is stopped, unless another process is training it.
    pub(super) fn run(&self, spec: &RunSpec, progress: &Progress) -> anyhow::Result<Turn> {
        match self.store.lock(&spec.id)? {
            Some(_lock) => {
                let ended = self.run_locked(spec, progress);
                if ended.is_err() {
                    self.store.remove_empty(&spec.id);
                }
                ended.map(|()| Turn::Over)
            }
            None => Ok(Turn::Elsewhere),
        }
    }

    fn run_locked(&self, spec: &RunSpec, progress: &Progress) -> anyhow::Result<()> {
        if self.store.ended(&spec.id)?.is_some() {
            return Ok(()); // another process was faster
        }
        if let Some(cause) = self.lacks_its_start(spec)? {
            return self.fail(spec, 0, cause);
        }
        let builder =
            ModelBuilder { plugins: self.plugins, store: self.store, device: self.device };
        let model = match builder.begin(spec).map_err(anyhow::Error::downcast::<NotFinite>) {
            Ok(model) => model,
            Err(Ok(NotFinite(cause))) => {
                return self.fail(spec, 0, cause);
            }
            Err(Err(other)) => return Err(other),
        };
        self.can_share(&model)?;
        let data = builder.task_for(spec)?;
        let distill = builder.teaching(spec)?;
        self.describe(spec, &*data)?;
        self.announce(spec)?;
        let run = Run {
            task: &*data,
            config: &spec.config.train,
            seed: spec.seed,
            device: self.device,
            folder: &self.store.folder(&spec.id),
            test: !spec.trial,
            objective: distill.as_ref().map(|distill| distill as &dyn Objective),
            tracer: self.tracer.as_ref(),
        };
        match self.train_run(spec, &run, model, progress) {
            Ok(outcome) => self.finish(spec, &run, outcome),
            Err(TrainError::Diverged { step, what, value }) => {
                let cause = format!("{what} is {value}");
                self.fail(spec, step, cause)
            }
            Err(TrainError::Stopped { .. }) => Ok(()),
            Err(other) => Err(other.into()),
        }
    }

    /// Refuses a network with states that update rules change in each of several passes over the same
    /// examples: these updates depend on the sequence of passes in a single process.
    fn can_share(&self, model: &AnyBackbone) -> anyhow::Result<()> {
        let (passes, processes) = (model.passes(), self.group.world.size());
        if passes == 1 || processes == 1 {
            return Ok(());
        }
        match parameters(model).into_iter().find(|known| !known.trained) {
            Some(state) => bail!(
                "the network makes {passes} passes over the examples of a step, and {} is a state: it must \
                 be trained by one process, not by {processes}",
                state.path
            ),
            None => Ok(()),
        }
    }

    /// Writes the description of the run, its environment and, for tasks on text, its tokeniser.
    fn describe(&self, spec: &RunSpec, data: &dyn Task) -> anyhow::Result<()> {
        self.store.write(&spec.id, "config.json", &spec.description())?;
        self.store.write(&spec.id, "environment.json", self.environment)?;
        if let Some(tokenizer) = data.as_text().and_then(|text| text.tokenizer().file()) {
            let value: serde_json::Value = serde_json::from_str(&tokenizer)?;
            self.store.write(&spec.id, "tokenizer.json", &value)?;
        }
        Ok(())
    }

    /// Trains, with traces if they are requested.
    fn train_run(
        &self,
        spec: &RunSpec,
        run: &Run,
        model: AnyBackbone,
        progress: &Progress,
    ) -> Result<Outcome, TrainError> {
        let mut line = progress.line(spec, self.store.folder(&spec.id));
        if !self.trace {
            return supervised_by(&self.group_of(spec), run, model, &mut line);
        }
        let (task, folder, device) = (run.task, run.folder, self.device);
        let mut watch = Tracer { watch: line, spec, task, folder, device };
        supervised_by(&self.group_of(spec), run, model, &mut watch)
    }

    /// Writes the end of a run. The run has failed if a measure is not finite.
    fn finish(&self, spec: &RunSpec, run: &Run, mut outcome: Outcome) -> anyhow::Result<()> {
        let step = spec.config.train.steps;
        if let Some(few_shot) = &spec.config.few_shot
            && let Err(why) = few_shot.judge(run, &mut outcome)
        {
            let cause = format!("few_shot: {why}");
            return self.fail(spec, step, cause);
        }
        let metrics = metrics(&outcome);
        if let Some((split, metric, value)) = metrics.iter().find(|(.., value)| !value.is_finite())
        {
            let cause = format!("{metric} is {value} on the {split} split");
            return self.fail(spec, step, cause);
        }
        if self.trace {
            let subject = Subject { model: &outcome.model, task: run.task, device: self.device };
            routing_numbers::write(spec, self.store, &subject)?;
        }
        self.store.end(&spec.id, &Ended::Done(self.numbers(spec, metrics, outcome)?))
    }

    /// Writes the cause of a failure, and the problems with the checkpoint that the network came from.
    fn fail(&self, spec: &RunSpec, step: usize, mut cause: String) -> anyhow::Result<()> {
        if let Some(imported) = Imported::of(&self.store.folder(&spec.id))?
            && !imported.warnings.is_empty()
        {
            cause += &format!("; warnings about its checkpoint: {}", imported.warnings.join("; "));
        }
        self.store.end(&spec.id, &Ended::Failed { step, cause })
    }

    /// The reason why a run cannot start, if any: a run that it depends on has failed.
    fn lacks_its_start(&self, spec: &RunSpec) -> anyhow::Result<Option<String>> {
        for before in spec.prerequisites() {
            match self.store.ended(&before.id)? {
                Some(Ended::Done(_)) => {}
                Some(Ended::Failed { cause, .. }) => {
                    return Ok(Some(format!(
                        "the run {} that it needs failed: {cause}",
                        before.id
                    )));
                }
                None => bail!("the run {} that it needs was stopped", before.id),
            }
        }
        Ok(None)
    }

    fn numbers(
        &self,
        spec: &RunSpec,
        metrics: Vec<(String, String, f64)>,
        outcome: Outcome,
    ) -> anyhow::Result<Numbers> {
        let of = outcome.test.as_ref().unwrap_or(&outcome.valid);
        let router_params = params_of(&outcome.model, "router") as f64;
        let path = Checkpoint::path(&self.store.folder(&spec.id));
        let weights =
            record_digest(&outcome.model, &path).with_context(|| path.display().to_string())?;
        Ok(Numbers {
            metrics,
            step: spec.config.train.steps,
            params: of.params,
            active_params: of.active_params,
            router_params,
            flops_per_token: of.flops_per_token,
            tokens: outcome.tokens as f64,
            forward_flops: outcome.flops,
            seconds: outcome.seconds,
            peak_memory: memory::peak(),
            weights: hex(&weights),
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
    let (valid, test) = (Some(&outcome.valid), outcome.test.as_ref());
    for (split, evaluation) in [("valid", valid), ("test", test)] {
        let writing = evaluation.and_then(|evaluation| evaluation.writing);
        let speed = writing.and_then(|writing| writing.tokens_per_second());
        metrics
            .extend(speed.map(|speed| (split.into(), "decoding_tokens_per_second".into(), speed)));
        let latency = writing.and_then(|writing| writing.latency);
        metrics.extend(latency.map(|time| (split.into(), "latency_ms".into(), time)));
    }
    let own = outcome.metrics.iter().cloned();
    metrics.extend(own.map(|(metric, value)| ("train".into(), metric, value)));
    // A run without steps has no speed.
    if outcome.seconds > 0.0 {
        let speed = outcome.tokens as f64 / outcome.seconds;
        metrics.push(("train".into(), "tokens_per_second".into(), speed));
    }
    metrics
}
