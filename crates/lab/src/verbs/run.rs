//! `run`: trains what is missing, then prints the table.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, anyhow, bail, ensure};
use report::{Format, Query, Runs, comparison, render, trace::Trace};
use training::{StepTracer, write_atomic};

use crate::{
    Plugins,
    cli::{Answer, say},
    exec::{ModelBuilder, Runner, device},
    options::Options,
    planning::Source,
    probes::{Subject, routing_numbers, trace},
    results::{blank, rows, timing},
    spec::{RunSpec, Suite, SuitePlan, Tuning},
    store::{Ended, Environment, Request, Store},
    verbs::{
        budget::title,
        publish::{may_be_published, publish, released},
    },
};

/// Why a part of a suite is not published.
const PART: &str = "--publish is for a whole suite: not with --seeds, --only, --set, --smoke, --shard or \
                    --device; write another suite instead";

/// Trains the runs of a suite, the first one by default, and gives its table.
pub(crate) fn run(
    name: Option<&str>,
    options: &Options,
    plugins: &Plugins,
    suites: &[Suite],
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<Answer> {
    let first = || suites.first().map(|suite| suite.name).ok_or_else(|| anyhow!("no suite"));
    let name = name.map_or_else(first, Ok)?;
    let (source, wanted) = (Source::find(name, suites)?, options.selection());
    let request = source.request(&wanted);
    let environment = Environment::now(&options.device, options.threads()?);
    if options.publish.is_some() {
        ensure!(options.shard.is_none() && request.is_whole(), PART);
        may_be_published(&environment, options.allow_dev)?;
    }
    let mut suite = source.plan(plugins, &options.data(), &wanted)?;
    if let Some(given) = suite.planned().iter().find_map(|spec| spec.budget.as_ref()) {
        say(&format!("{}; the sizes: budget {name}", title(given)));
    }
    let device = device(&options.device)?;
    let store = Store::open(&options.runs)?;
    let runner = Runner {
        plugins,
        store: &store,
        device: &device,
        environment: &environment,
        jobs: options.jobs()?,
        trace: options.trace,
        tui: options.tui,
        tracer: options.timing.then(StepTracer::default),
        stop: stop.clone(),
    };
    if let Some(tuning) = &suite.tuning {
        suite.specs = tune(tuning, &suite, &request, &runner, options)?;
    }
    let trained = runner.train(&shard(suite.specs.iter(), options));
    let runs = rows(&suite, &store)?;
    request.write(store.root(), &runs.to_csv())?;
    if stop.load(Ordering::Relaxed) {
        bail!("stopped");
    }
    report_failures(&suite, &store)?;
    report_missing(&suite, &store)?;
    let builder = ModelBuilder { plugins, store: &store, device: &device };
    let traced = if options.trace { trace_the_others(&suite, &builder) } else { Ok(()) };
    if let Some(tracer) = &runner.tracer {
        say(&timing::table(tracer).render(Format::Text));
    }
    // What one run could not do must not hide what the others did.
    if let Err(err) = trained.and(traced) {
        let table = comparison(&runs, &Query::default());
        let text = table.map(|tables| render(&tables, options.format())).unwrap_or_default();
        return Ok(Answer { text, error: Some(err), code: 2 });
    }
    if let Some(folder) = &options.publish {
        let command = source.program.command(&source.asked);
        let environment = environment.lines() + &format!("command: {command}\n");
        released(&suite, &store, options.allow_dev)?;
        let folder = publish(&suite, &runs, (&command, &environment), folder, options, suites)?;
        say(&format!("wrote {}", folder.display()));
    }
    let tables = comparison(&runs, &Query::default())?;
    Ok(render(&tables, options.format()).into())
}

/// Tries the settings of all methods, writes down how they did, and gives the runs that are to be
/// trained with the best of them.
fn tune(
    tuning: &Tuning,
    suite: &SuitePlan,
    request: &Request,
    runner: &Runner,
    options: &Options,
) -> anyhow::Result<Vec<RunSpec>> {
    let store = runner.store;
    let trained = climb(tuning, runner, options);
    let rows = tuning.rows(|spec| blank(suite, spec), store)?;
    let csv = store.root().join(format!("{}-trials.csv", request.stem()));
    write_atomic(&csv, Runs { rows }.to_csv().as_bytes())
        .with_context(|| csv.display().to_string())?;
    trained?;
    if runner.stop.load(Ordering::Relaxed) {
        bail!("stopped");
    }
    tuning.said(store)?.iter().for_each(|line| say(line));
    tuning.choose(store)?.ok_or_else(|| {
        anyhow!(
            "trials of other parts are missing, so nothing can be chosen yet: run this again when \
             the other parts are done and their folders are in {}",
            store.root().display()
        )
    })
}

/// Tries settings, rung by rung, as far as the trials of other parts allow.
fn climb(tuning: &Tuning, runner: &Runner, options: &Options) -> anyhow::Result<()> {
    for rung in 0..tuning.rungs() {
        let Some(trials) = tuning.rung(rung, runner.store)? else { break };
        runner.train(&shard(trials.into_iter(), options))?;
    }
    Ok(())
}

/// The runs of this machine's part.
fn shard<'a>(specs: impl Iterator<Item = &'a RunSpec>, options: &Options) -> Vec<&'a RunSpec> {
    let mine = |index: usize| options.shard.is_none_or(|part| index % part.count == part.index);
    specs.enumerate().filter(|(index, _)| mine(*index)).map(|(_, spec)| spec).collect()
}

/// Writes the last trace of those runs that had ended before anyone asked for traces.
fn trace_the_others(suite: &SuitePlan, builder: &ModelBuilder) -> anyhow::Result<()> {
    for spec in &suite.specs {
        let (folder, step) = (builder.store.folder(&spec.id), spec.config.train.steps);
        let there = folder.join(Trace::file_name(step as u64)).exists();
        if !there && matches!(builder.store.ended(&spec.id)?, Some(Ended::Done(_))) {
            let ((model, _), task) = (builder.trained(spec)?, builder.task_for(spec)?);
            trace::write(spec, &*task, &folder, &model, step, builder.device)
                .with_context(|| folder.display().to_string())?;
            let subject = Subject { model: &model, task: &*task, device: builder.device };
            routing_numbers::write(spec, builder.store, &subject)?;
        }
    }
    Ok(())
}

/// Says how many runs the table is without, since other parts or processes are at them.
fn report_missing(suite: &SuitePlan, store: &Store) -> anyhow::Result<()> {
    let (mut missing, mut all) = (0, 0);
    for spec in suite.specs.iter().filter(|spec| spec.refused.is_none()) {
        all += 1;
        missing += usize::from(store.ended(&spec.id)?.is_none());
    }
    if missing > 0 {
        say(&format!(
            "the table is without {missing} of {all} runs, which another part or process has to \
             train; the same command counts them in when they are done"
        ));
    }
    Ok(())
}

/// Says which runs failed: the table shows a gap for them.
fn report_failures(suite: &SuitePlan, store: &Store) -> anyhow::Result<()> {
    for spec in &suite.specs {
        if let Some(Ended::Failed { step, cause }) = store.ended(&spec.id)? {
            let (method, task, seed) = (&spec.method, &spec.config.task.kind, spec.seed);
            say(&format!("{method}, {task}, seed {seed}: failed at step {step}, {cause}"));
        }
    }
    Ok(())
}
