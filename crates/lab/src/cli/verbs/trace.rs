//! `trace`: the routing of whole splits of a run's data as a file, of the run's network or from arrays
//! of choices. The router `replay` follows such files.

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use clap::Args;
use report::trace::Trace;
use tasks::Split;

use crate::{
    cli::{
        Answer, DeviceArgs, Session, ThreadsArgs, Verb,
        args::{DataArgs, StoreArgs},
        out::{not_an_input, not_of_a_run, write_out},
    },
    exec::ModelBuilder,
    planning::{TrainedRun, trained_run},
    probes::{TracedExamples, given_choices, record_of},
    spec::RunSpec,
};

/// Arguments of `trace`.
#[derive(Args, Clone)]
pub(crate) struct TraceArgs {
    /// A run: its folder, or its name in the folder of runs
    run: String,
    /// The split of its data: train, valid, test
    #[arg(long, default_value = "valid", value_parser = parse_split)]
    split: Split,
    /// Only the first N examples; all if left out
    #[arg(long, value_name = "N")]
    examples: Option<usize>,
    /// Choices of another program instead of the run's own, for the tokens of these examples in order: an
    /// .npy file of [tokens, k] or [layers, tokens, k], or a safetensors file with `layer.L.experts`,
    /// [tokens, k], and optionally `layer.L.weights`
    #[arg(long, value_name = "FILE")]
    choices: Option<PathBuf>,
    /// The safetensors file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    threads: ThreadsArgs,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    store: StoreArgs,
}

impl Verb for TraceArgs {
    const NAME: &'static str = "trace";
    const ABOUT: &'static str =
        "Write the choices of experts of a run, or those of another program, as a trace";

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        not_of_a_run(&self.out)?;
        not_an_input(&self.out, &self.choices)?;
        let plugins = session.plugins;
        let TrainedRun { store, spec, .. } =
            trained_run(&self.run, &self.store.runs, &self.data.dir(), plugins)?;
        let device = self.device.open()?;
        let builder = ModelBuilder { plugins, store: &store, device: &device };
        let all = spec.data.len(self.split);
        let n = self.examples.unwrap_or(all);
        ensure!((1..=all).contains(&n), "--examples {n}: must be from 1 to {all}");
        let examples: Vec<usize> = (0..n).collect();
        let shown = TracedExamples {
            split: self.split,
            examples: &examples,
            step: spec.config.train.steps,
        };
        let recorded = self.threads.install(|| recorded(&builder, &spec, shown))??;
        let Some(mut trace) = recorded else {
            bail!("the run {} has no MoE layers, or reads pairs of sequences", spec.id)
        };
        if let Some(path) = &self.choices {
            trace.layers = given_choices(path, &trace.about.experts, trace.len())
                .with_context(|| path.display().to_string())?;
        }
        write_out(&self.out, &trace.to_bytes()?)?;
        let (units, layers) = (trace.len(), trace.layers.len());
        Ok(format!("{units} units in {layers} layers in {}\n", self.out.display()).into())
    }
}

/// The trace of a run's network; none if nothing is routed there.
fn recorded(
    builder: &ModelBuilder,
    spec: &RunSpec,
    shown: TracedExamples,
) -> anyhow::Result<Option<Trace>> {
    let ((model, _), task) = (builder.trained(spec)?, builder.task_for(spec)?);
    Ok(record_of(spec, &*task, &model, shown, builder.device))
}

fn parse_split(text: &str) -> Result<Split, String> {
    let all = [Split::Train, Split::Valid, Split::Test];
    let known = || all.map(Split::name).join(", ");
    let found = all.into_iter().find(|split| split.name() == text);
    found.ok_or_else(|| format!("no split is named {text:?}; known: {}", known()))
}
