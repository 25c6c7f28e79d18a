//! `table`: the comparison table of what was trained before.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{anyhow, bail};
use report::{comparison, render};

use crate::{cli::Answer, options::Options, planning::Source, spec::Suite, verbs::ask::QueryArgs};

/// The table of a suite, or of csv files.
pub(crate) fn table(
    question: &QueryArgs,
    options: &Options,
    suites: &[Suite],
) -> anyhow::Result<Answer> {
    let results = question.results(options, suites)?;
    let tables = comparison(&results.runs, &question.ask())?;
    Ok(render(&tables, options.format()).into())
}

/// The csv files that are meant: those that are named, or the newest of a suite.
pub(crate) fn files(
    sources: &[String],
    options: &Options,
    suites: &[Suite],
) -> anyhow::Result<Vec<PathBuf>> {
    let (csv, names): (Vec<&String>, Vec<&String>) =
        sources.iter().partition(|source| source.ends_with(".csv"));
    match (csv.is_empty(), &names[..]) {
        (false, []) => Ok(csv.into_iter().map(PathBuf::from).collect()),
        (true, []) => {
            let default = suites.first().ok_or_else(|| anyhow!("no suite"))?;
            Ok(vec![of_suite(default.name, options, suites)?])
        }
        (true, [name]) => Ok(vec![of_suite(name, options, suites)?]),
        _ => bail!("{}: it is one suite, or csv files", sources.join(" ")),
    }
}

/// The results of a suite with the options that were given: of its last run, or else committed ones.
fn of_suite(name: &str, options: &Options, suites: &[Suite]) -> anyhow::Result<PathBuf> {
    let wanted = options.selection();
    let source = match Source::find(name, suites) {
        Ok(source) => source,
        // Not a suite of this program: results may go by that name all the same.
        Err(err) => {
            let csv = options.runs.join(format!("{name}.csv"));
            let there = csv.exists().then_some(csv).or_else(|| committed(name));
            return there.filter(|_| wanted.options().is_empty()).ok_or(err);
        }
    };
    let request = source.request(&wanted);
    match request.find(&options.runs)? {
        Some(csv) => Ok(csv),
        None => committed(&source.name)
            .filter(|_| request.is_whole())
            .ok_or_else(|| request.missing(&options.runs)),
    }
}

/// The newest committed rows of a suite.
pub(crate) fn committed(suite: &str) -> Option<PathBuf> {
    let dates = fs::read_dir(Path::new("results").join(suite)).into_iter().flatten().flatten();
    dates.map(|date| date.path().join("runs.csv")).filter(|path| path.exists()).max()
}
