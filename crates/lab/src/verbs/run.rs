//! `run`: trains what is missing, then prints the table.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, anyhow, bail};
use report::{Ask, comparison, render};
use training::write_atomic;

use crate::{
    Plugins, Suite,
    cell::Cell,
    cli::{Answer, Options, say},
    device::device,
    environment::Environment,
    rows::rows,
    runner::Runner,
    store::{Ended, Store},
    suite::{Loaded, load},
    verbs::{budget::title, publish::publish},
};

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
    let suite = load(name, suites, plugins, &options.data(), &options.selection())?;
    if let Some(given) = suite.cells.iter().find_map(|cell| cell.budget.as_ref()) {
        say(&format!("{}; the sizes: budget {name}", title(given)));
    }
    let device = device(&options.device)?;
    let environment = Environment::now(&options.device, options.threads()?);
    let store = Store::open(&options.runs)?;
    let runner = Runner {
        plugins,
        store: &store,
        device: &device,
        environment: &environment,
        jobs: options.jobs()?,
        stop: stop.clone(),
    };
    let trained = runner.train(&shard(&suite, options));
    let runs = rows(&suite, &store)?;
    let csv = store.root().join(format!("{}.csv", suite.name));
    write_atomic(&csv, runs.to_csv().as_bytes()).with_context(|| csv.display().to_string())?;
    trained?;
    if stop.load(Ordering::Relaxed) {
        bail!("stopped");
    }
    report_failures(&suite, &store)?;
    if let Some(folder) = &options.publish {
        let folder = publish(&suite, &runs, &environment, folder, options)?;
        say(&format!("wrote {}", folder.display()));
    }
    let tables = comparison(&runs, &Ask::default())?;
    Ok(render(&tables, options.format()).into())
}

/// The runs of this machine's part.
fn shard<'a>(suite: &'a Loaded, options: &Options) -> Vec<&'a Cell> {
    let mine = |index: usize| options.shard.is_none_or(|part| index % part.count == part.index);
    let cells = suite.cells.iter().enumerate();
    cells.filter(|(index, _)| mine(*index)).map(|(_, cell)| cell).collect()
}

/// Says which runs failed: the table shows a gap for them.
fn report_failures(suite: &Loaded, store: &Store) -> anyhow::Result<()> {
    for cell in &suite.cells {
        if let Some(Ended::Failed { step, cause }) = store.ended(&cell.id)? {
            let (method, task, seed) = (&cell.method, &cell.config.task.kind, cell.seed);
            say(&format!("{method}, {task}, seed {seed}: failed at step {step}, {cause}"));
        }
    }
    Ok(())
}
