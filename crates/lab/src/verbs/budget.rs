//! `budget`: what a suite holds equal, and which sizes follow from it.

use anyhow::{anyhow, bail};
use report::{Cell, Column, Digits, Kind, Table};

use crate::{
    Plugins,
    options::Options,
    planning::Source,
    spec::{BudgetOutcome, RunSpec as RunCell, Selection, Suite},
};

/// The budget of a suite as a table, one row for each task and method.
pub(crate) fn budget(
    name: Option<&str>,
    options: &Options,
    plugins: &Plugins,
    suites: &[Suite],
) -> anyhow::Result<String> {
    let first = || suites.first().map(|suite| suite.name).ok_or_else(|| anyhow!("no suite"));
    let name = name.map_or_else(first, Ok)?;
    let wanted = Selection { seeds: Some(vec![0]), ..options.selection() };
    let suite = Source::find(name, suites)?.plan(plugins, &options.data(), &wanted)?;
    let specs = suite.planned();
    let rows: Vec<_> = specs.iter().copied().filter_map(row).collect();
    let Some(given) = specs.iter().find_map(|spec| spec.budget.as_ref()) else {
        bail!("suite {name} holds nothing equal: it has no [budget]")
    };
    let (words, number) = (Kind::Words, Kind::Numbers(Digits::Fixed(0)));
    let table = Table {
        title: title(given),
        columns: vec![
            Column::new("task", "task", words),
            Column::new("backbone", "backbone", words),
            Column::new("method", "method", words),
            Column::new("free", "free size", words),
            Column::new("was", "was", number),
            Column::new("is", "is", number),
            Column::new("budget", "budget", number),
            Column::new("off_percent", "off in %", Kind::Numbers(Digits::Fixed(2))),
            Column::new("refused", "refused", words),
        ],
        rows,
        ..Table::default()
    };
    Ok(table.render(options.format()))
}

/// What is held equal, in one line.
pub(crate) fn title(given: &BudgetOutcome) -> String {
    let BudgetOutcome { equal, tolerance, reference, .. } = given;
    let percent = 100.0 * tolerance;
    format!("Held equal: {}, within {percent} % of {reference}", equal.words())
}

fn row(spec: &RunCell) -> Option<Vec<Cell>> {
    let given = spec.budget.as_ref()?;
    let words = |text: &str| Cell::Words(text.into());
    let number = |x: Option<f64>| x.map_or(Cell::Missing, Cell::Number);
    let solved = given.solved.as_ref();
    Some(vec![
        words(&spec.config.task.kind),
        words(&spec.config.backbone.kind),
        words(&match &spec.tuned {
            Some((setting, _)) => format!("{} [{setting}]", spec.method),
            None => spec.method.clone(),
        }),
        words(solved.map_or("", |(path, ..)| path)),
        number(solved.map(|(_, was, _)| *was as f64)),
        number(solved.map(|(.., is)| *is as f64)),
        number(given.target),
        number(given.off.map(|off| 100.0 * off)),
        words(spec.refused.as_deref().unwrap_or("")),
    ])
}
