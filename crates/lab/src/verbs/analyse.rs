//! `analyse`: what a trained run's routing is like.

use std::{fs, path::Path};

use anyhow::{Context, bail};
use clap::Args;
use report::{Table, analysis, render, trace::Trace, trace_pictures};
use training::write_atomic;

use crate::{
    Plugins,
    cli::say,
    exec::{ModelBuilder, device},
    options::Options,
    planning::{find, trained_run},
    probes::{self, Subject, record},
    spec::RunSpec,
    store::Store,
};

/// What to ask, and of which run.
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
}

/// Answers the questions, and writes the plots into the run's folder.
pub(crate) fn analyse(
    call: &AnalyseArgs,
    options: &Options,
    plugins: &Plugins,
) -> anyhow::Result<String> {
    known(&call.what)?;
    let folder = find(&call.run, &options.runs)?;
    let store = Store::open(folder.parent().unwrap_or(Path::new(".")))?;
    let spec = trained_run(&folder, &store, &options.data(), plugins)?;
    let device = device(&options.device)?;
    let builder = ModelBuilder { plugins, store: &store, device: &device };
    let traces = traces(&folder, &spec, &builder)?;
    let other = match &call.other {
        Some(other) => {
            let folder = find(other, &options.runs)?;
            let store = Store::open(folder.parent().unwrap_or(Path::new(".")))?;
            let spec = trained_run(&folder, &store, &options.data(), plugins)?;
            let builder = ModelBuilder { plugins, store: &store, device: &device };
            self::traces(&folder, &spec, &builder)?.pop()
        }
        None => None,
    };
    let mut tables: Vec<Table> = Vec::new();
    for (what, _) in analysis::QUESTIONS.iter().filter(|(what, _)| asked(call, what)) {
        if *what != "agreement" || other.is_some() || !call.what.is_empty() {
            tables.extend(analysis::answer(what, &traces, other.as_ref())?);
        }
    }
    let ((model, _), task) = (builder.trained(&spec)?, builder.task_for(&spec)?);
    let subject = Subject { model: &model, task: &*task, device: &device };
    for (what, _) in probes::QUESTIONS.iter().filter(|(what, _)| asked(call, what)) {
        match subject.answer(what) {
            Ok(table) => tables.push(table),
            Err(err) if call.what.is_empty() => say(&format!("{what}: {err}")),
            Err(err) => return Err(err),
        }
    }
    let plots = folder.join("analysis");
    fs::create_dir_all(&plots).with_context(|| plots.display().to_string())?;
    for picture in trace_pictures(&traces) {
        let path = plots.join(format!("{}.svg", picture.name));
        write_atomic(&path, picture.svg.as_bytes()).with_context(|| path.display().to_string())?;
    }
    say(&format!("plots are in {}", plots.display()));
    Ok(render(&tables, options.format()))
}

fn asked(call: &AnalyseArgs, what: &str) -> bool {
    call.what.is_empty() || call.what.iter().any(|asked| asked == what)
}

fn known(what: &[String]) -> anyhow::Result<()> {
    let all = analysis::QUESTIONS.iter().chain(&probes::QUESTIONS);
    let known: Vec<&str> = all.map(|(name, _)| *name).collect();
    match what.iter().find(|what| !known.contains(&what.as_str())) {
        Some(what) => bail!("no analysis is named {what:?}; known: {}", known.join(", ")),
        None => Ok(()),
    }
}

/// The traces that a run has written, or that of its end.
fn traces(folder: &Path, spec: &RunSpec, builder: &ModelBuilder) -> anyhow::Result<Vec<Trace>> {
    let traces = Trace::read_all(&folder.join("trace"))?;
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
