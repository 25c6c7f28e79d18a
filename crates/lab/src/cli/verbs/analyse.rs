//! `analyse`: analyses of the routing of a trained run.

use std::path::Path;

use anyhow::{Context, bail};
use clap::Args;
use files::{create_folder, write_files};
use report::{Figure, Table, analysis, render, trace::Trace, trace_figures};

use crate::{
    cli::{
        Answer, DeviceArgs, FormatArgs, Session, Verb,
        args::{DataArgs, StoreArgs},
        out::svg_files,
    },
    exec::ModelBuilder,
    planning::{TrainedRun, trained_run},
    probes::{
        self, Subject,
        pair_trace::{self, SIDES},
        record,
    },
    spec::RunSpec,
    store::{is_folder, read_traces},
};

/// Arguments of `analyse`.
#[derive(Args, Clone)]
pub(crate) struct AnalyseArgs {
    /// A run: its folder, or its name in the folder of runs
    run: String,
    /// Another run on the same task, for the agreement of both routings
    other: Option<String>,
    /// Analyses of traces: load, entropy, margin, saturation, switches, changes, coactivation,
    /// specialisation, agreement; of the network: drop, ranks, regret, similarity, causality.
    /// Default: all that apply
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
    const ABOUT: &'static str =
        "Analyse the routing of a trained run: load, entropy, specialisation, regret";

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        known(&self.what)?;
        let plugins = session.plugins;
        let TrainedRun { folder, store, spec } =
            trained_run(&self.run, &self.store.runs, &self.data.dir(), plugins)?;
        let device = self.device.open()?;
        let builder = ModelBuilder { plugins, store: &store, device: &device };
        let sides = traces_of(&folder, &spec, &builder)?;
        let others = match &self.other {
            Some(other) => {
                let TrainedRun { folder, store, spec } =
                    trained_run(other, &self.store.runs, &self.data.dir(), plugins)?;
                let builder = ModelBuilder { plugins, store: &store, device: &device };
                traces_of(&folder, &spec, &builder)?
            }
            None => Vec::new(),
        };
        let mut tables: Vec<Table> = Vec::new();
        for Side { name, traces } in &sides {
            let other = others.iter().find(|other| other.name == *name);
            let found = self.of_traces(traces, other.and_then(|other| other.traces.last()))?;
            let of_side = |table: Table| Table { title: titled(name, &table.title), ..table };
            tables.extend(found.into_iter().map(of_side));
        }
        let ((model, _), task) = (builder.trained(&spec)?, builder.task_for(&spec)?);
        let subject = Subject { model: &model, task: &*task, device: &device };
        tables.extend(self.of_network(&subject, session)?);
        let plots = folder.join("analysis");
        plot(&sides, &plots)?;
        session.say(&format!("plots are in {}", plots.display()));
        Ok(render(&tables, self.format.get()).into())
    }
}

impl AnalyseArgs {
    /// The tables of the analyses of traces; `other` is the last trace of the other run.
    fn of_traces(&self, traces: &[Trace], other: Option<&Trace>) -> anyhow::Result<Vec<Table>> {
        let mut tables = Vec::new();
        for (what, _) in analysis::ANALYSES.iter().filter(|(what, _)| self.asks_for(what)) {
            if *what != "agreement" || other.is_some() || !self.what.is_empty() {
                tables.extend(analysis::tables_of(what, traces, other)?);
            }
        }
        Ok(tables)
    }

    /// The tables of the analyses of the network. An analysis that was not requested by name is left out if
    /// it does not apply.
    fn of_network(&self, subject: &Subject, session: &Session) -> anyhow::Result<Vec<Table>> {
        let mut tables = Vec::new();
        for (what, _) in probes::PROBES.iter().filter(|(what, _)| self.asks_for(what)) {
            match subject.probe(what) {
                Ok(table) => tables.push(table),
                Err(err) if self.what.is_empty() => session.say(&format!("{what}: {err}")),
                Err(err) => return Err(err),
            }
        }
        Ok(tables)
    }

    fn asks_for(&self, what: &str) -> bool {
        self.what.is_empty() || self.what.iter().any(|asked| asked == what)
    }
}

/// Writes the plots of the traces into a folder.
fn plot(sides: &[Side], folder: &Path) -> anyhow::Result<()> {
    is_folder(folder)?; // and no link
    create_folder(folder).with_context(|| folder.display().to_string())?;
    let of_side = |side: &Side| {
        let before = if side.name.is_empty() { String::new() } else { format!("{}-", side.name) };
        let named =
            move |figure: Figure| Figure { name: format!("{before}{}", figure.name), ..figure };
        trace_figures(&side.traces).into_iter().map(named)
    };
    let figures: Vec<Figure> = sides.iter().flat_map(of_side).collect();
    Ok(write_files(&svg_files(folder, &figures))?)
}

fn known(what: &[String]) -> anyhow::Result<()> {
    let all = analysis::ANALYSES.iter().chain(&probes::PROBES);
    let known: Vec<&str> = all.map(|(name, _)| *name).collect();
    match what.iter().find(|what| !known.contains(&what.as_str())) {
        Some(what) => bail!("no analysis is named {what:?}; known: {}", known.join(", ")),
        None => Ok(()),
    }
}

/// The traces of a network, or of one side of an encoder-decoder.
struct Side {
    /// The name of the side: `encoder`, `decoder`, or empty.
    name: &'static str,
    traces: Vec<Trace>,
}

/// A title with the name of the side in front.
fn titled(side: &str, title: &str) -> String {
    if side.is_empty() { title.into() } else { format!("{side}: {title}") }
}

/// The traces that a run has written, or else one of its trained network; for an encoder-decoder, those of
/// each side.
fn traces_of(folder: &Path, spec: &RunSpec, builder: &ModelBuilder) -> anyhow::Result<Vec<Side>> {
    let mut sides = Vec::new();
    for name in ["", SIDES[0], SIDES[1]] {
        let traces = read_traces(folder, name)?;
        sides.extend((!traces.is_empty()).then_some(Side { name, traces }));
    }
    if sides.is_empty() {
        let ((model, _), task) = (builder.trained(spec)?, builder.task_for(spec)?);
        let (step, device) = (spec.config.train.steps, builder.device);
        let whole = record(spec, &*task, &model, step, device).map(|trace| ("", trace));
        let found = whole.into_iter().chain(pair_trace::sides(spec, &*task, &model, step, device));
        sides = found.map(|(name, trace)| Side { name, traces: vec![trace] }).collect();
    }
    if sides.is_empty() {
        bail!("the run {} has no MoE layers, so nothing is routed", spec.id);
    }
    Ok(sides)
}
