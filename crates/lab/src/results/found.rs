//! Lookup of results: the csv files of suites and requests.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{anyhow, bail, ensure};
use report::{Runs, few};

use crate::{
    planning::Source,
    spec::{LAPTOP, Selection, Suite, shorter},
};

/// The places to search for results, and the selected runs of a suite.
pub(crate) struct ResultsLookup<'a> {
    /// The suites of the program; the first one is the default.
    pub(crate) suites: &'a [Suite],
    /// The folder of runs.
    pub(crate) runs: &'a Path,
    /// The options with which the suite was run.
    pub(crate) wanted: Selection,
}

impl ResultsLookup<'_> {
    /// The results of a suite, or of csv files; of the default suite if nothing is named.
    pub(crate) fn read(&self, sources: &[String]) -> anyhow::Result<Results> {
        let files = self.files(sources)?;
        let named = |file: &PathBuf| sources.iter().any(|source| Path::new(source) == file);
        let are_committed = files.iter().any(|file| file.starts_with("results") && !named(file));
        Ok(Results { runs: Runs::read_all(&files)?, files, are_committed })
    }

    fn files(&self, sources: &[String]) -> anyhow::Result<Vec<PathBuf>> {
        let (csv, names): (Vec<&String>, Vec<&String>) =
            sources.iter().partition(|source| source.ends_with(".csv"));
        match (csv.is_empty(), &names[..]) {
            (false, []) => {
                let mut options = self.wanted.options();
                let tier = &self.wanted.tier;
                options.extend((tier != LAPTOP).then(|| format!("--tier {tier}")));
                ensure!(
                    options.is_empty(),
                    "{}: selects results of a suite, and has no effect on csv files",
                    few(options.iter().map(|option| shorter(option)))
                );
                Ok(csv.into_iter().map(PathBuf::from).collect())
            }
            (true, []) => {
                let default = self.suites.first().ok_or_else(|| anyhow!("no suite"))?;
                Ok(vec![self.of_suite(default.name)?])
            }
            (true, [name]) => Ok(vec![self.of_suite(name)?]),
            _ => bail!("{}: expected one suite, or csv files", few(sources)),
        }
    }

    /// The results of a suite: those of its last run, or else the committed ones.
    fn of_suite(&self, name: &str) -> anyhow::Result<PathBuf> {
        let source = match Source::find(name, self.suites) {
            Ok(source) => source.at_tier(&self.wanted.tier)?,
            // The name is not a suite of this program, but there may still be results of that name.
            Err(err) => {
                let csv = self.runs.join(format!("{name}.csv"));
                let there = csv.exists().then_some(csv).or_else(|| committed(Path::new(""), name));
                return there.filter(|_| self.wanted.options().is_empty()).ok_or(err);
            }
        };
        let request = source.request(&self.wanted);
        match request.find(self.runs)? {
            Some(csv) => Ok(csv),
            None => committed(Path::new(""), &source.name)
                .filter(|_| request.is_whole())
                .ok_or_else(|| request.missing(self.runs)),
        }
    }
}

/// Whether a letter is allowed in the names of files.
fn is_plain(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '-' | '_' | '@')
}

/// The newest committed rows of a suite, `results/SUITE/DATE/runs.csv`
/// below a folder.
pub fn committed(root: &Path, suite: &str) -> Option<PathBuf> {
    let dates = fs::read_dir(root.join("results").join(suite)).into_iter().flatten().flatten();
    dates.map(|date| date.path().join("runs.csv")).filter(|path| path.exists()).max()
}

/// Results that were read, and the files that they came from.
pub(crate) struct Results {
    pub(crate) runs: Runs,
    pub(crate) files: Vec<PathBuf>,
    /// Whether they come from the folder of committed results without their file being named.
    pub(crate) are_committed: bool,
}

impl Results {
    /// The name of the suite.
    pub(crate) fn name(&self) -> &str {
        self.runs.rows.first().map_or("results", |row| &row.suite)
    }

    /// The base name of files that are made from the results.
    pub(crate) fn stem(&self) -> String {
        let stem = self.files.first().and_then(|file| file.file_stem());
        let stem = stem.map_or_else(String::new, |stem| stem.to_string_lossy().to_string());
        // All committed results have the same file name. The suite's name comes from the rows, and need not
        // be a valid path.
        match stem.is_empty() || stem == "runs" {
            true => self.name().replace(|letter: char| !is_plain(letter), "-"),
            false => stem,
        }
    }

    /// The folder of the first file.
    pub(crate) fn folder(&self) -> &Path {
        self.files.first().and_then(|file| file.parent()).unwrap_or(Path::new("."))
    }
}
