//! `run`: trains the missing runs, then prints the table.

use std::{fs, path::PathBuf};

use anyhow::{Context, anyhow, bail, ensure};
use burn::prelude::*;
use clap::Args;
use files::write_atomic;
use report::{Format, Query, Runs, compare_to_baseline, comparison, render};
use training::{ProcessGroup, StepTracer};

use crate::{
    cli::{
        Answer, DeviceArgs, FormatArgs, Session, ThreadsArgs, Verb,
        args::{DataArgs, SelectionArgs, StoreArgs, size, some_threads},
        left_open::{report_failures, report_missing, report_warnings},
        watch::WatchArgs,
    },
    exec::{
        ModelBuilder, Runner, SearchResult, Searched,
        together::{self, Dismissal},
    },
    planning::{Searcher, Source, memory},
    probes::{Subject, routing_numbers, trace_files},
    results::{Publication, blank, may_be_published, released, rows, search_rows, timing},
    spec::{RunConfig, RunSpec, Selection, SuitePlan, TuningPlan},
    store::{Ended, Environment, Request, Store, has_file},
};

/// The error if only a part of a suite would be published.
const PART: &str = "--publish needs a whole suite: it excludes --seeds, --only, --set, --smoke, --shard and \
                    --device; write another suite instead";

/// Arguments of `run`.
#[derive(Args)]
pub(crate) struct Run {
    /// A suite's name, or the path of a TOML file; the default suite if left out
    suite: Option<String>,
    #[command(flatten)]
    options: RunOptions,
}

/// Options of training and of the output.
#[derive(Args)]
pub(crate) struct RunOptions {
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    threads: ThreadsArgs,
    /// Number of concurrent runs, which share the threads; default: the number of threads. With 1,
    /// peak memory is measured for each run
    #[arg(long, value_name = "N", value_parser = some_threads)]
    jobs: Option<usize>,
    /// Train part K of N of the runs, to share a suite among machines; K counts from 1
    #[arg(long, value_name = "K/N", value_parser = parse_shard)]
    shard: Option<Shard>,
    /// Split the optimizer's moments among the processes of MPI, to save memory; results do not change
    #[arg(long)]
    split_moments: bool,
    /// Largest memory that a run may need, in GB; default: the memory of this machine
    #[arg(long, value_name = "GB", value_parser = size)]
    memory: Option<f64>,
    #[command(flatten)]
    watch: WatchArgs,
    /// Print a profile of the training steps
    #[arg(long)]
    timing: bool,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    format: FormatArgs,
    /// Write csv, environment and page into DIR/SUITE/DATE, to be committed
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "results")]
    publish: Option<PathBuf>,
    /// Publish results even if this program, or the one that trained them, is a dev build
    #[arg(long, requires = "publish")]
    allow_dev: bool,
}

impl Verb for Run {
    const NAME: &'static str = "run";
    const ABOUT: &'static str = "Train the missing runs of a suite, then print its table";
    const TOGETHER: bool = true;

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        self.options.train(self.suite.as_deref(), session)
    }
}

impl RunOptions {
    /// Trains the runs of a suite, or of the default one if none is named, and returns its table.
    pub(crate) fn train(&self, name: Option<&str>, session: &Session) -> anyhow::Result<Answer> {
        let world = &session.world;
        if self.shard.is_none() {
            cluster::not_apart()?;
        }
        let name = session.suite_or_default(name)?;
        let planned = together::agree(&**world, self.plan(name, session))?;
        let Planned { source, wanted, request, environment, suite } = planned;
        self.same_plan(&suite, &environment, session)?;
        let data = self.data.dir();
        let searcher = source.searcher(session.plugins, &data, &wanted);
        let searcher = together::agree(&**world, searcher)?;
        if searcher.is_some() {
            self.searches_alone(name, world.size())?;
        }
        if self.split_moments {
            together::agree(&**world, together::can_split(&suite, world.size()))?;
        }
        say_budget(&suite, name, session);
        together::agree(&**world, self.check_memory(&suite, session))?;
        let (device, store) = self.open_together(&suite, session)?;
        session.catch_signals();
        let group = ProcessGroup::of(world.clone());
        let runner = Runner {
            plugins: session.plugins,
            store: &store,
            device: &device,
            environment: &environment,
            jobs: match world.size() {
                1 => self.jobs.unwrap_or_else(|| self.threads.count()),
                _ => 1, // the processes are at one run together
            },
            group: if self.split_moments { group.splits_moments() } else { group },
            trace: self.watch.trace,
            shown: self.watch.shown(session),
            on_end: &|text| self.watch.say_more(session, text),
            tracer: self.timing.then(StepTracer::default),
            stop: session.stop.clone(),
        };
        if !session.leads() {
            runner.follow(&suite.possible())?;
            return Ok(String::new().into());
        }
        let _dismissal = Dismissal(world.clone());
        self.lead((&source, &request), (suite, searcher), &runner, session)
    }

    /// Trains the runs and returns their table; called in the leading process.
    fn lead(
        &self,
        (source, request): (&Source, &Request),
        (mut suite, searcher): (SuitePlan, Option<Searcher>),
        runner: &Runner,
        session: &Session,
    ) -> anyhow::Result<Answer> {
        let store = runner.store;
        let (trained, results) =
            self.train_all(&mut suite, searcher, (request, runner), session)?;
        // Traces come before the results, which contain numbers on routing that are computed from traces.
        let traced = match self.watch.trace && !session.is_stopped() {
            true => trace_the_others(&suite, runner),
            false => Ok(()),
        };
        let (runs, written) = write_results(&suite, &results, request, store)?;
        if session.is_stopped() {
            bail!("stopped");
        }
        let failed = report_failures(&suite, store, session)?;
        report_missing(&suite, store, trained.is_ok(), session)?;
        report_warnings(&suite, store, session)?;
        if let Some(tracer) = &runner.tracer {
            session.say(&timing::table(tracer).render(Format::Text));
        }
        // An error of one run does not suppress the table of the others.
        if let Err(err) = trained.and(written).and(traced) {
            let table = comparison(&runs, &Query::default());
            let text = table.map(|tables| render(&tables, self.format.get())).unwrap_or_default();
            return Ok(Answer { text, error: Some(err), code: 2 });
        }
        if let Some(folder) = &self.publish {
            released(&suite, store, self.allow_dev)?;
            let (suite, runs, environment) = (&suite, &runs, runner.environment);
            let command = &source.program.command(&source.asked);
            let folder = Publication { suite, runs, command, environment }.write(folder)?;
            session.say(&format!("wrote {}", folder.display()));
        }
        let tables = comparison(&runs, &Query::default())?;
        let text = render(&tables, self.format.get());
        if failed > 0 && failed == suite.specs.len() {
            return Ok(Answer {
                text,
                error: Some(anyhow!("all {failed} runs have failed")),
                code: 2,
            });
        }
        Ok(format!("{text}{}", self.found(&suite, &runs)?).into())
    }

    /// The comparison with the reference of the budget, printed below a table of text.
    fn found(&self, suite: &SuitePlan, runs: &Runs) -> anyhow::Result<String> {
        let (Some(budget), Format::Text) = (suite.budget(), self.format.get()) else {
            return Ok(String::new());
        };
        let said = compare_to_baseline(runs, &Query::default(), &budget.reference)?;
        Ok(said.iter().map(|sentence| format!("\n{sentence}\n")).collect())
    }

    /// Tunes and searches if the suite says so, then trains the runs of this part. Returns whether all of
    /// them could be trained, and the results of the searches, whose runs join the suite.
    fn train_all(
        &self,
        suite: &mut SuitePlan,
        mut searcher: Option<Searcher>,
        (request, runner): (&Request, &Runner),
        session: &Session,
    ) -> anyhow::Result<(anyhow::Result<()>, Vec<SearchResult>)> {
        let of_searches = match (&mut suite.tuning, &mut searcher) {
            (Some(tuning), Some(searcher)) => searcher.add_trials(tuning)?,
            _ => Vec::new(),
        };
        if let Some(tuning) = &suite.tuning {
            suite.specs = tune(tuning, suite, request, runner, (self.shard, session))?;
            if let (Some(searcher), Some(best)) = (&mut searcher, tuning.best(runner.store)?) {
                searcher.settle(&of_searches, tuning, &best)?;
            }
        }
        let searched = searcher.map(|mut searcher| runner.search(&mut searcher)).transpose()?;
        let Searched { specs, results } = searched.unwrap_or_default();
        results.iter().for_each(|result| session.say(&result.said));
        suite.specs.extend(specs);
        Ok((runner.train(&shard(suite.specs.iter(), self.shard)), results))
    }
}

/// Gathers the results of a suite and writes them. The second value is whether they could be written.
fn write_results(
    suite: &SuitePlan,
    results: &[SearchResult],
    request: &Request,
    store: &Store,
) -> anyhow::Result<(Runs, anyhow::Result<()>)> {
    // The lock makes the last process that writes the results include all runs that the others have trained.
    let locked = request.lock(store.root())?;
    let mut runs = rows(suite, store)?;
    runs.rows.extend(search_rows(suite, results, store)?);
    let examples = (!runs.examples.is_empty()).then(|| runs.examples.to_csv());
    let written = request.write(&locked, store.root(), &runs.to_csv(), examples.as_deref());
    Ok((runs, written))
}

/// The runs that the options select.
struct Planned {
    source: Source,
    wanted: Selection,
    request: Request,
    environment: Environment,
    suite: SuitePlan,
}

impl RunOptions {
    /// Plans the runs, and checks them for the number of processes.
    fn plan(&self, name: &str, session: &Session) -> anyhow::Result<Planned> {
        let (world, data) = (&*session.world, self.data.dir());
        let mut wanted = self.selection.on(&self.device);
        let source = Source::find(name, session.suites)?.at_tier(&wanted.tier)?;
        source.warnings(&wanted)?.iter().for_each(|warning| session.say(warning));
        let mut suite = source.plan(session.plugins, &data, &wanted)?;
        if let Some(set) = together::parts_for(&suite, world.size(), &mut wanted)? {
            suite = source.plan(session.plugins, &data, &wanted)?;
            session.say(&format!("{} processes: adding --set {set}", world.size()));
        }
        together::can_share(&suite, world.size())?;
        let request = source.request(&wanted);
        let environment = Environment::now(&self.device.device, self.threads.count());
        if self.publish.is_some() {
            ensure!(self.shard.is_none() && request.is_whole(), PART);
            may_be_published(&environment, self.allow_dev)?;
        }
        Ok(Planned { source, wanted, request, environment, suite })
    }

    /// Refuses to split a suite that searches into parts.
    fn searches_alone(&self, name: &str, processes: usize) -> anyhow::Result<()> {
        let why = format!(
            "suite {name:?} has [search], where each candidate depends on the previous results"
        );
        ensure!(self.shard.is_none(), "--shard: {why}: it cannot be split into parts");
        ensure!(
            processes == 1,
            "{processes} processes: {why}: it needs one process; start it without mpirun and srun"
        );
        Ok(())
    }

    /// Refuses to continue if the processes have planned different runs.
    fn same_plan(
        &self,
        suite: &SuitePlan,
        environment: &Environment,
        session: &Session,
    ) -> anyhow::Result<()> {
        let world = &*session.world;
        if world.size() == 1 {
            return Ok(());
        }
        let facts = together::facts(&suite.possible(), environment);
        let mut facts = together::agree(world, facts)?;
        facts.push(("--split-moments", self.split_moments.to_string()));
        together::same(world, &facts)
    }

    /// The device, and the folder of runs, which all processes must share. The folder is not created if the
    /// run is refused.
    fn open_together(
        &self,
        suite: &SuitePlan,
        session: &Session,
    ) -> anyhow::Result<(Device, Store)> {
        let (world, runs) = (&*session.world, &self.store.runs);
        let is_new = session.leads() && !runs.exists();
        let opened = together::agree(world, self.open(session)).and_then(|(device, store)| {
            together::all_see(world, runs)?;
            let fits = together::can_share_those_before(suite, world.size(), &store)
                .and_then(|()| together::can_exchange(suite, world.size(), &device));
            together::agree(world, fits).map(|()| (device, store))
        });
        if opened.is_err() && is_new {
            let _ = fs::remove_dir(runs); // unless something is in it
        }
        opened
    }

    /// The device, and the folder of runs.
    fn open(&self, session: &Session) -> anyhow::Result<(Device, Store)> {
        let store = match session.leads() {
            true => Store::open(&self.store.runs)?,
            false => Store::for_reading(&self.store.runs),
        };
        Ok((self.device.open()?, store))
    }
}

impl RunOptions {
    /// Refuses a suite with a run that needs more memory than the machine has.
    fn check_memory(&self, suite: &SuitePlan, session: &Session) -> anyhow::Result<()> {
        let given = self.memory.map(|gigabytes| 1e9 * gigabytes);
        let Some(most) = given.or_else(memory::of_machine) else { return Ok(()) };
        let jobs = match session.world.size() {
            1 => self.jobs.unwrap_or_else(|| self.threads.count()).min(suite.planned().len()),
            _ => 1,
        };
        let mut checked: Vec<&RunConfig> = Vec::new();
        for spec in suite.planned().into_iter().filter(|spec| spec.refused.is_none()) {
            if !checked.contains(&&spec.config) {
                memory::check(spec, memory::needed(spec, session.plugins)?, jobs.max(1), most)?;
                checked.push(&spec.config);
            }
        }
        Ok(())
    }
}

/// Prints the budget of a suite, if it has one.
fn say_budget(suite: &SuitePlan, name: &str, session: &Session) {
    if let Some(given) = suite.budget() {
        session.say(&format!("{}; to print the sizes: budget {name}", given.title()));
    }
}

/// Tries the settings of all methods, writes down their results, and returns the runs that are to be trained
/// with the best settings.
fn tune(
    tuning: &TuningPlan,
    suite: &SuitePlan,
    request: &Request,
    runner: &Runner,
    (part, session): (Option<Shard>, &Session),
) -> anyhow::Result<Vec<RunSpec>> {
    let store = runner.store;
    let trained = climb(tuning, runner, part);
    let locked = request.lock(store.root())?;
    let rows = tuning.rows(|spec| blank(suite, spec), store)?;
    let csv = request.trials(store.root());
    write_atomic(&csv, Runs::of(rows).to_csv().as_bytes())
        .with_context(|| csv.display().to_string())?;
    drop(locked);
    trained?;
    if session.is_stopped() {
        bail!("stopped");
    }
    tuning.said(store)?.iter().for_each(|line| session.say(line));
    tuning.choose(store)?.ok_or_else(|| {
        anyhow!(
            "trials of other parts are missing, so nothing can be chosen yet: run this again when \
             the other parts are done and their folders are in {}",
            store.root().display()
        )
    })
}

/// Tries settings, rung by rung, as far as the trials of the other parts allow.
fn climb(tuning: &TuningPlan, runner: &Runner, part: Option<Shard>) -> anyhow::Result<()> {
    for rung in 0..tuning.rungs() {
        let Some(trials) = tuning.rung(rung, runner.store)? else { break };
        runner.train(&shard(trials.into_iter(), part))?;
    }
    Ok(())
}

/// Part `index` of `count`, counted from 0.
#[derive(Clone, Copy)]
struct Shard {
    index: usize,
    count: usize,
}

fn parse_shard(text: &str) -> Result<Shard, String> {
    let parts: Option<(usize, usize)> =
        text.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
    match parts {
        // Job arrays often count from 0: part 0 of n is the same as part n.
        Some((k, n)) if n > 0 && k <= n => Ok(Shard { index: k % n, count: n }),
        _ => Err("expected K/N with K from 1 to N, for example 1/3".into()),
    }
}

/// The runs of this part.
fn shard<'a>(specs: impl Iterator<Item = &'a RunSpec>, part: Option<Shard>) -> Vec<&'a RunSpec> {
    let mine = |index: usize| part.is_none_or(|part| index % part.count == part.index);
    specs.enumerate().filter(|(index, _)| mine(*index)).map(|(_, spec)| spec).collect()
}

/// Writes the last trace of runs that ended without traces.
fn trace_the_others(suite: &SuitePlan, runner: &Runner) -> anyhow::Result<()> {
    let Runner { plugins, store, device, .. } = *runner;
    let builder = &ModelBuilder { plugins, store, device };
    for spec in &suite.specs {
        let (folder, step) = (store.folder(&spec.id), spec.config.train.steps);
        // A kill may have left the trace without its numbers.
        let is_traced =
            trace_files::is_written(&folder, step)? && has_file(&folder, routing_numbers::FILE)?;
        if is_traced || !matches!(store.ended(&spec.id)?, Some(Ended::Done(_))) {
            continue;
        }
        let Some(_lock) = store.lock(&spec.id)? else { continue }; // another process traces it
        let ((model, _), task) = (builder.trained(spec)?, builder.task_for(spec)?);
        let names = trace_files::write(spec, &*task, &folder, &model, step, builder.device)
            .with_context(|| folder.display().to_string())?;
        if !names.is_empty() {
            store.add(&spec.id, &names)?;
            let subject = Subject { model: &model, task: &*task, device: builder.device };
            routing_numbers::write(spec, store, &subject)?;
            store.add(&spec.id, &[routing_numbers::FILE.into()])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_count_from_one_or_from_zero() {
        let index = |text| parse_shard(text).map(|shard| shard.index);
        assert_eq!([index("1/3"), index("2/3"), index("3/3")], [Ok(1), Ok(2), Ok(0)]);
        assert_eq!(index("0/3"), Ok(0));
        assert!(index("4/3").is_err() && index("1/0").is_err() && index("a").is_err());
    }
}
