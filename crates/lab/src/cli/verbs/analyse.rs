//! `analyse`: what a trained run's routing is like.

use std::{fs, path::Path};

use anyhow::{Context, bail};
use clap::Args;
use moe::Domain;
use report::{Table, analysis, render, trace::Trace, trace_pictures};
use training::write_atomic;

use crate::{
    cli::{
        Answer, DeviceArgs, FormatArgs, Session, Verb,
        args::{DataArgs, StoreArgs},
    },
    exec::ModelBuilder,
    planning::{find, trained_run},
    probes::{self, Subject, record},
    spec::RunSpec,
    store::{Store, read_traces},
};

/// Arguments of `analyse`.
#[derive(Args, Clone)]
pub(crate) struct AnalyseArgs {
    /// A run: its folder, or its name in the folder of runs
    run: String,
    /// Another run on the same task, to see whether both route alike
    other: Option<String>,
    /// load, entropy, margin, saturation, switches, changes, coactivation, specialisation, agreement;
    /// of the network itself: drop, ranks, regret, similarity, causality. All that can be answered if
    /// left out
    #[arg(long, value_delimiter = ',', value_name = "WHAT")]
    what: Vec<String>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    format: FormatArgs,
}

impl Verb for AnalyseArgs {
    const NAME: &'static str = "analyse";
    const ABOUT: &'static str = "Print what a trained run's routing is like: load, entropy, classes, what choices are worth";

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        known(&self.what)?;
        let plugins = session.plugins;
        let folder = find(&self.run, &self.store.runs)?;
        let store = Store::open(folder.parent().unwrap_or(Path::new(".")))?;
        let spec = trained_run(&folder, &store, &self.data.dir(), plugins)?;
        if matches!(spec.data.domain(), Domain::Pair { .. }) {
            bail!(
                "the run {} has learned {}, whose sources and targets are not the same units; analyses take \
                 one sequence or picture an example",
                spec.id,
                spec.config.task.kind
            );
        }
        let device = self.device.open()?;
        let builder = ModelBuilder { plugins, store: &store, device: &device };
        let traces = traces_of(&folder, &spec, &builder)?;
        let other = match &self.other {
            Some(other) => {
                let folder = find(other, &self.store.runs)?;
                let store = Store::open(folder.parent().unwrap_or(Path::new(".")))?;
                let spec = trained_run(&folder, &store, &self.data.dir(), plugins)?;
                let builder = ModelBuilder { plugins, store: &store, device: &device };
                traces_of(&folder, &spec, &builder)?.pop()
            }
            None => None,
        };
        let mut tables: Vec<Table> = Vec::new();
        for (what, _) in analysis::QUESTIONS.iter().filter(|(what, _)| self.asks_for(what)) {
            if *what != "agreement" || other.is_some() || !self.what.is_empty() {
                tables.extend(analysis::answer(what, &traces, other.as_ref())?);
            }
        }
        let ((model, _), task) = (builder.trained(&spec)?, builder.task_for(&spec)?);
        let subject = Subject { model: &model, task: &*task, device: &device };
        for (what, _) in probes::PROBES.iter().filter(|(what, _)| self.asks_for(what)) {
            match subject.answer(what) {
                Ok(table) => tables.push(table),
                Err(err) if self.what.is_empty() => session.say(&format!("{what}: {err}")),
                Err(err) => return Err(err),
            }
        }
        let plots = folder.join("analysis");
        fs::create_dir_all(&plots).with_context(|| plots.display().to_string())?;
        for picture in trace_pictures(&traces) {
            let path = plots.join(format!("{}.svg", picture.name));
            write_atomic(&path, picture.svg.as_bytes())
                .with_context(|| path.display().to_string())?;
        }
        session.say(&format!("plots are in {}", plots.display()));
        Ok(render(&tables, self.format.get()).into())
    }
}

impl AnalyseArgs {
    fn asks_for(&self, what: &str) -> bool {
        self.what.is_empty() || self.what.iter().any(|asked| asked == what)
    }
}

fn known(what: &[String]) -> anyhow::Result<()> {
    let all = analysis::QUESTIONS.iter().chain(&probes::PROBES);
    let known: Vec<&str> = all.map(|(name, _)| *name).collect();
    match what.iter().find(|what| !known.contains(&what.as_str())) {
        Some(what) => bail!("no analysis is named {what:?}; known: {}", known.join(", ")),
        None => Ok(()),
    }
}

/// The traces that a run has written, or that of its end.
fn traces_of(folder: &Path, spec: &RunSpec, builder: &ModelBuilder) -> anyhow::Result<Vec<Trace>> {
    let traces = read_traces(folder)?;
    if !traces.is_empty() {
        return Ok(traces);
    }
    let ((model, _), task) = (builder.trained(spec)?, builder.task_for(spec)?);
    let trace = record(spec, &*task, &model, spec.config.train.steps, builder.device);
    match trace {
        Some(trace) => Ok(vec![trace]),
        None => bail!("the run {} has no MoE layers, so nothing is routed", spec.id),
    }
}
