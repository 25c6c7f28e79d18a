//! `--publish`: what is committed of a suite's runs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use jiff::Timestamp;
use report::{Format, Query, Runs, comparison, render};
use training::write_atomic;

use crate::{
    environment::Environment,
    options::Options,
    suite::SuitePlan,
    verbs::{
        ask::{QueryArgs, Results},
        report::html,
    },
};

/// Writes `runs.csv`, `env.txt`, the page `README.md` and the report into `folder/SUITE/DATE`.
pub(crate) fn publish(
    suite: &SuitePlan,
    runs: &Runs,
    environment: &Environment,
    folder: &Path,
    options: &Options,
) -> anyhow::Result<PathBuf> {
    let date = Timestamp::now().strftime("%Y-%m-%d").to_string();
    let folder = folder.join(&suite.name).join(date);
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        write_atomic(&path, text.as_bytes()).with_context(|| path.display().to_string())?;
        anyhow::Ok(path)
    };
    let tables = render(&comparison(runs, &Query::default())?, Format::Markdown);
    let page = format!(
        "<!-- Generated, do not edit. Made by: bench run {name} --publish -->\n\n# {title}\n\n\
         {tables}\nEvery number is in `runs.csv`; the machine is described in `env.txt`; \
         `report.html` shows curves, loads and verdicts.\n",
        name = suite.name,
        title = suite.title,
    );
    let csv = write("runs.csv", runs.to_csv())?;
    write("env.txt", environment.lines())?;
    write("README.md", page)?;
    let results = Results { runs: runs.clone(), files: vec![csv] };
    write("report.html", html(&results, None, &QueryArgs::default(), options)?)?;
    Ok(folder)
}
