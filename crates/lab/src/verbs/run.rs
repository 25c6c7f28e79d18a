//! `run`: trains what is missing, then prints the table.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, anyhow, bail, ensure};
use report::{Format, Query, Runs, comparison, render, trace::Trace};
use training::{StepTracer, write_atomic};

use crate::{
    Plugins, Suite,
    analyses::Subject,
    cli::{Answer, say},
    device::device,
    environment::Environment,
    options::Options,
    ranks,
    request::Request,
    rows::{blank, rows},
    run_spec::RunSpec,
    runner::Runner,
    start::ModelBuilder,
    store::{Ended, Store},
    suite::{Source, SuitePlan},
    timing, trace,
    tuning::Tuning,
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
    let request = Request::new(&source, &wanted);
    let environment = Environment::now(&options.device, options.threads()?);
    if options.publish.is_some() {
        ensure!(options.shard.is_none() && request.is_whole(), PART);
        may_be_published(&environment, options.allow_dev)?;
    }
    let mut suite = source.plan(plugins, &options.data(), &wanted)?;
    if let Some(given) = suite.planned().iter().find_map(|cell| cell.budget.as_ref()) {
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
        suite.cells = tune(tuning, &suite, &request, &runner, options)?;
    }
    let trained = runner.train(&shard(suite.cells.iter(), options));
    let runs = rows(&suite, &store)?;
    request.write(store.root(), &runs.to_csv())?;
    if stop.load(Ordering::Relaxed) {
        bail!("stopped");
    }
    report_failures(&suite, &store)?;
    report_missing(&suite, &store)?;
    let site = ModelBuilder { plugins, store: &store, device: &device };
    let traced = if options.trace { trace_the_others(&suite, &site) } else { Ok(()) };
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
    let rows = tuning.rows(|cell| blank(suite, cell), store)?;
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
fn shard<'a>(cells: impl Iterator<Item = &'a RunSpec>, options: &Options) -> Vec<&'a RunSpec> {
    let mine = |index: usize| options.shard.is_none_or(|part| index % part.count == part.index);
    cells.enumerate().filter(|(index, _)| mine(*index)).map(|(_, cell)| cell).collect()
}

/// Writes the last trace of those runs that had ended before anyone asked for traces.
fn trace_the_others(suite: &SuitePlan, site: &ModelBuilder) -> anyhow::Result<()> {
    for cell in &suite.cells {
        let (folder, step) = (site.store.folder(&cell.id), cell.config.train.steps);
        let there = folder.join(Trace::file_name(step as u64)).exists();
        if !there && matches!(site.store.ended(&cell.id)?, Some(Ended::Done(_))) {
            let ((model, _), task) = (site.trained(cell)?, site.task_for(cell)?);
            trace::write(cell, &*task, &folder, &model, step, site.device)
                .with_context(|| folder.display().to_string())?;
            let subject = Subject { model: &model, task: &*task, device: site.device };
            ranks::write(cell, site.store, &subject)?;
        }
    }
    Ok(())
}

/// Says how many runs the table is without, since other parts or processes are at them.
fn report_missing(suite: &SuitePlan, store: &Store) -> anyhow::Result<()> {
    let (mut missing, mut all) = (0, 0);
    for cell in suite.cells.iter().filter(|cell| cell.refused.is_none()) {
        all += 1;
        missing += usize::from(store.ended(&cell.id)?.is_none());
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
    for cell in &suite.cells {
        if let Some(Ended::Failed { step, cause }) = store.ended(&cell.id)? {
            let (method, task, seed) = (&cell.method, &cell.config.task.kind, cell.seed);
            say(&format!("{method}, {task}, seed {seed}: failed at step {step}, {cause}"));
        }
    }
    Ok(())
}
