//! `cmp`, `rank`, `power`, `ledger`, `check`: questions about results that are there.

use anyhow::bail;
use report::{check, check_table, cmp, ledger, power, rank, render, render_cmp};

use crate::{
    cli::Answer,
    options::Options,
    planning::Source,
    spec::Suite,
    verbs::ask::{QueryArgs, Results},
};

/// The difference of two methods.
pub(crate) fn compare(
    [a, b]: [&str; 2],
    margin: Option<f64>,
    question: &QueryArgs,
    options: &Options,
    suites: &[Suite],
) -> anyhow::Result<Answer> {
    let results = question.results(options, suites)?;
    let comparisons = cmp(&results.runs, &question.ask(), a, b, margin)?;
    Ok(render_cmp(&comparisons, options.format()).into())
}

/// Who is ahead over all tasks.
pub(crate) fn ranking(
    question: &QueryArgs,
    options: &Options,
    suites: &[Suite],
) -> anyhow::Result<Answer> {
    let results = question.results(options, suites)?;
    let table = rank(&results.runs, &question.ask())?.table();
    Ok(table.render(options.format()).into())
}

/// What each method was given and what it took.
pub(crate) fn accounts(
    each_run: bool,
    question: &QueryArgs,
    options: &Options,
    suites: &[Suite],
) -> anyhow::Result<Answer> {
    let results = question.results(options, suites)?;
    Ok(ledger(&results.runs, each_run)?.render(options.format()).into())
}

/// How many seeds it takes.
pub(crate) fn seeds_needed(
    baseline: Option<&str>,
    margin: Option<f64>,
    question: &QueryArgs,
    options: &Options,
    suites: &[Suite],
) -> anyhow::Result<Answer> {
    let results = question.results(options, suites)?;
    let tables = power(&results.runs, &question.ask(), baseline, margin)?;
    Ok(render(&tables, options.format()).into())
}

/// Whether results lie where their suite expects them; the exit code is 1 if not.
pub(crate) fn expectations(
    suite: Option<&str>,
    sources: &[String],
    options: &Options,
    suites: &[Suite],
) -> anyhow::Result<Answer> {
    let Some(name) = suite.or(suites.first().map(|suite| suite.name)) else { bail!("no suite") };
    let expects = Source::find(name, suites)?.expects()?;
    let results = match sources {
        [] => Results::read(&[name.to_string()], options, suites)?,
        csv => Results::read(csv, options, suites)?,
    };
    let outcomes = check(&results.runs, &expects)?;
    let text = check_table(&outcomes).render(options.format());
    let code = if outcomes.iter().all(|outcome| outcome.holds) { 0 } else { 1 };
    Ok(Answer { code, ..Answer::from(text) })
}
