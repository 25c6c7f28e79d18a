//! `--publish`: what is committed of a suite's runs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use jiff::Timestamp;
use report::{Ask, Format, Runs, comparison, render};
use training::write_atomic;

use crate::{environment::Environment, suite::Loaded};

/// Writes `runs.csv`, `env.txt` and the page `README.md` into `folder/SUITE/DATE`.
pub(crate) fn publish(
    suite: &Loaded,
    runs: &Runs,
    environment: &Environment,
    folder: &Path,
) -> anyhow::Result<PathBuf> {
    let folder = folder.join(&suite.name).join(Timestamp::now().strftime("%Y-%m-%d").to_string());
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        write_atomic(&path, text.as_bytes()).with_context(|| path.display().to_string())
    };
    let tables = render(&comparison(runs, &Ask::default())?, Format::Markdown);
    let page = format!(
        "<!-- Generated, do not edit. Made by: bench run {name} --publish -->\n\n# {title}\n\n\
         {tables}\nEvery number is in `runs.csv`; the machine is described in `env.txt`.\n",
        name = suite.name,
        title = suite.title,
    );
    write("runs.csv", runs.to_csv())?;
    write("env.txt", environment.lines())?;
    write("README.md", page)?;
    Ok(folder)
}
