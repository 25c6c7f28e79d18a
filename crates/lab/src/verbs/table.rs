//! `table`: the comparison table of what was trained before.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{anyhow, bail};
use report::{comparison, render};

use crate::{Suite, cli::Answer, options::Options, verbs::ask::QueryArgs};

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
            Ok(vec![newest(default.name, options)?])
        }
        (true, [name]) => Ok(vec![newest(&stem(name), options)?]),
        _ => bail!("{}: it is one suite, or csv files", sources.join(" ")),
    }
}

/// A suite may be named by its file.
fn stem(name: &str) -> String {
    Path::new(name).file_stem().unwrap_or_default().to_string_lossy().to_string()
}

/// The rows of a suite's last run, or its last committed ones.
fn newest(suite: &str, options: &Options) -> anyhow::Result<PathBuf> {
    let own = options.runs.join(format!("{suite}.csv"));
    if own.exists() {
        return Ok(own);
    }
    committed(suite).ok_or_else(|| {
        let own = own.display();
        anyhow!("no results of {suite}, neither {own} nor results/{suite}/*/runs.csv; train it with run {suite}")
    })
}

/// The newest committed rows of a suite.
pub(crate) fn committed(suite: &str) -> Option<PathBuf> {
    let dates = fs::read_dir(Path::new("results").join(suite)).into_iter().flatten().flatten();
    dates.map(|date| date.path().join("runs.csv")).filter(|path| path.exists()).max()
}
