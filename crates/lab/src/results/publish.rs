//! `--publish`: the files of a suite's runs that are to be committed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use files::write_atomic;
use jiff::Timestamp;
use report::{Format, Query, Runs, comparison, markdown_text, render};

use crate::{
    spec::SuitePlan,
    store::{Environment, Store, read_json},
};

/// Checks that the results of this program, in this folder, can be reproduced by others.
///
/// # Errors
/// If the folder is no git repository, if it has uncommitted changes, or if the program is a dev build and
/// that is not allowed.
pub(crate) fn may_be_published(here: &Environment, allow_dev: bool) -> anyhow::Result<()> {
    ensure!(
        here.git_revision != "unknown",
        "--publish: this folder has no git revision, which is needed to reproduce the results"
    );
    ensure!(
        !here.git_dirty,
        "--publish: there are changes that are not committed; commit or stash them (git status)"
    );
    ensure!(
        here.profile == "release" || allow_dev,
        "--publish: this is a {} build; build with --release, or pass --allow-dev",
        here.profile
    );
    Ok(())
}

/// Checks that all runs were trained by a release build. They were trained by the same code as this
/// program's, since the code is part of their ids.
pub(crate) fn released(suite: &SuitePlan, store: &Store, allow_dev: bool) -> anyhow::Result<()> {
    for spec in suite.specs.iter().filter(|spec| spec.refused.is_none() && !allow_dev) {
        let folder = store.folder(&spec.id);
        let trained: Option<Environment> = read_json(&folder, "environment.json")?;
        if let Some(profile) = trained.map(|there| there.profile).filter(|is| is != "release") {
            bail!(
                "--publish: {} was trained by a {profile} build; remove it to train it again, or pass \
                 --allow-dev",
                folder.display()
            );
        }
    }
    Ok(())
}

/// Results that are published.
pub(crate) struct Publication<'a> {
    pub(crate) suite: &'a SuitePlan,
    pub(crate) runs: &'a Runs,
    /// The command that produces them.
    pub(crate) command: &'a str,
    pub(crate) environment: &'a Environment,
}

impl Publication<'_> {
    /// Writes `runs.csv`, `env.txt` with the registration of the claims, and the page `README.md` into
    /// `folder/SUITE/DATE`, with the values of single test examples if the runs recorded them. The page has
    /// marks by which its tables can be regenerated.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let Self { suite, runs, command, environment } = self;
        let date = Timestamp::now().strftime("%Y-%m-%d").to_string();
        let folder = folder.join(&suite.name).join(date);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            write_atomic(&path, text.as_bytes()).with_context(|| path.display().to_string())?;
            anyhow::Ok(())
        };
        let tables = render(&comparison(runs, &Query::default())?, Format::Markdown);
        let text = format!(
            "<!-- Generated, do not edit. Made by: {command} --publish -->\n\n# {title}\n\n\
             <!-- BEGIN: {name} -->\n\n{tables}\n<!-- END: {name} -->\n\n\
             Every number is in `runs.csv`; the machine is described in `env.txt`. The verb `report` \
             makes a page of the csv file, with verdicts, plots and a ranking.\n",
            title = markdown_text(&suite.title),
            name = suite.name,
        );
        write("runs.csv", runs.to_csv())?;
        if !runs.examples.is_empty() {
            write("runs.examples.csv", runs.examples.to_csv())?;
        }
        write("env.txt", environment_of(suite, command, environment))?;
        write("README.md", text)?;
        Ok(folder)
    }
}

/// The lines of `env.txt`.
fn environment_of(suite: &SuitePlan, command: &str, environment: &Environment) -> String {
    let mut lines = format!("{}command: {command}\n", environment.lines());
    if let Some(digest) = &suite.registration {
        lines += &format!("registration: {digest}\n");
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_under_which_registration_results_were_made() {
        let (name, title) = ("s".to_string(), "S".to_string());
        let (gated, registration, tuning) = (false, None, None);
        let mut suite = SuitePlan { name, title, gated, registration, specs: Vec::new(), tuning };
        let lines =
            |suite: &SuitePlan| environment_of(suite, "cargo run", &Environment::now("flex", 1));
        assert!(lines(&suite).ends_with("\ncommand: cargo run\n"));
        suite.registration = Some("0123456789abcdef".into());
        assert!(lines(&suite).ends_with("\ncommand: cargo run\nregistration: 0123456789abcdef\n"));
    }

    #[test]
    fn only_what_can_be_made_again_is_published() {
        let here = Environment {
            git_revision: "abc".into(),
            git_dirty: false,
            profile: "release".into(),
            ..Environment::now("flex", 1)
        };
        let wrong = |here: Environment, allow_dev| {
            may_be_published(&here, allow_dev).unwrap_err().to_string()
        };
        assert!(may_be_published(&here, false).is_ok());
        let dirty = Environment { git_dirty: true, ..here.clone() };
        assert!(wrong(dirty, true).contains("changes that are not committed"));
        let nowhere = Environment { git_revision: "unknown".into(), ..here.clone() };
        assert!(wrong(nowhere, true).contains("no git revision"));
        let dev = Environment { profile: "dev".into(), ..here };
        assert!(wrong(dev.clone(), false).contains("this is a dev build"));
        assert!(may_be_published(&dev, true).is_ok());
    }
}
