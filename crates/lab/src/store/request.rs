//! The file with the results of a request: a suite, and the options that make other runs of it. Each
//! request has a file of its own, so that no table shows other results than those that were asked for.
//!
//! `runs/SUITE.csv` has the results of a whole suite, `runs/SUITE@DIGEST.csv` those with options. The
//! JSON file of the same name says what was asked for, and has a digest of the suite as it was then.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use training::write_atomic;

use crate::{digest::hex, settings::SettingTree, spec::Selection};

/// Keys of a suite that do not change its runs.
const PROSE: [&str; 7] = ["title", "about", "expect", "paper", "claim", "gate", "registration"];

/// A request for results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Request {
    /// The name of the suite.
    suite: String,
    /// The name or path as it was typed.
    asked: String,
    /// The options that make other runs of it.
    options: Vec<String>,
    /// SHA-256 of what the suite says of its runs.
    digest: String,
}

impl Request {
    /// The request for these runs of a suite.
    ///
    /// `suite` is its name, `asked` what was typed for it, and `settings` what it says.
    pub(crate) fn new(
        [suite, asked]: [&str; 2],
        settings: &SettingTree,
        wanted: &Selection,
    ) -> Self {
        let runs = settings.without(&PROSE).value();
        Self {
            suite: suite.into(),
            asked: asked.into(),
            options: wanted.options(),
            digest: hex(&Sha256::digest(runs.to_string())),
        }
    }

    /// The name of its files.
    pub(crate) fn stem(&self) -> String {
        match self.options.is_empty() {
            true => self.suite.clone(),
            false => {
                let digest = hex(&Sha256::digest(self.options.join("\n")));
                format!("{}@{}", self.suite, &digest[..8])
            }
        }
    }

    /// Whether it is for the whole suite.
    pub(crate) fn is_whole(&self) -> bool {
        self.options.is_empty()
    }

    /// As it is typed.
    fn words(&self) -> String {
        let words = [std::slice::from_ref(&self.asked), &self.options].concat();
        words.join(" ")
    }

    fn csv(&self, runs: &Path) -> PathBuf {
        runs.join(format!("{}.csv", self.stem()))
    }

    /// Writes the results, and what they are results of.
    pub(crate) fn write(&self, runs: &Path, csv: &str) -> anyhow::Result<()> {
        let (path, about) = (self.csv(runs), runs.join(format!("{}.json", self.stem())));
        // What stands there may be of the suite as it was before.
        match fs::remove_file(&about) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => {
                return Err(err).with_context(|| about.display().to_string());
            }
            _ => {}
        }
        write_atomic(&path, csv.as_bytes()).with_context(|| path.display().to_string())?;
        let text = serde_json::to_vec_pretty(self)?;
        write_atomic(&about, &text).with_context(|| about.display().to_string())
    }

    /// The file with its results; none if they are not there.
    ///
    /// # Errors
    /// If what is there is of another version of the suite.
    pub(crate) fn find(&self, runs: &Path) -> anyhow::Result<Option<PathBuf>> {
        let csv = self.csv(runs);
        if !csv.exists() {
            return Ok(None);
        }
        match Self::read(&csv.with_extension("json")) {
            Some(there) if there.digest == self.digest && there.options == self.options => {
                Ok(Some(csv))
            }
            _ => bail!(
                "{} is of another suite than {} is now; make it anew with run {}, or name the file \
                 itself",
                csv.display(),
                self.asked,
                self.words()
            ),
        }
    }

    fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// That nothing is there, how to get it, and what of the same suite is there.
    pub(crate) fn missing(&self, runs: &Path) -> anyhow::Error {
        let entries = fs::read_dir(runs).into_iter().flatten().flatten();
        let known = entries.filter_map(|entry| Self::read(&entry.path()));
        let mut known: Vec<String> =
            known.filter(|known| known.suite == self.suite).map(|known| known.words()).collect();
        known.sort();
        let known = match known.is_empty() {
            true => String::new(),
            false => format!("; there are results of {}", known.join(", of ")),
        };
        let (words, csv) = (self.words(), self.csv(runs));
        anyhow::anyhow!(
            "no results of {words}, not in {}; train it with run {words}{known}",
            csv.display()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "title = 'a'\nseeds = [0]\n[[task]]\ntask = 'digits'\n";

    fn request(text: &'static str, wanted: &Selection) -> Request {
        Request::new(["s", "s"], &SettingTree::parse("s.toml", text).unwrap(), wanted)
    }

    #[test]
    fn each_request_has_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let smoke = Selection { smoke: true, ..Selection::default() };
        let seeds = Selection { seeds: Some(vec![3]), ..Selection::default() };
        for (wanted, csv) in [(Selection::default(), "a"), (smoke, "b"), (seeds.clone(), "c")] {
            request(TEXT, &wanted).write(folder.path(), csv).unwrap();
        }
        let read = |wanted: &Selection| {
            let path = request(TEXT, wanted).find(folder.path()).unwrap();
            path.map(|path| fs::read_to_string(path).unwrap())
        };
        assert_eq!(read(&Selection::default()).unwrap(), "a");
        assert_eq!(read(&seeds).unwrap(), "c");
        let other = Selection { set: vec!["train.lr=1".into()], ..Selection::default() };
        assert_eq!(read(&other), None);
        let err = request(TEXT, &other).missing(folder.path()).to_string();
        assert!(err.contains("train it with run s --set train.lr=1;"), "{err}");
        assert!(err.ends_with("there are results of s, of s --seeds 3, of s --smoke"), "{err}");
    }

    #[test]
    fn results_of_the_suite_as_it_was_are_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let find = |text| request(text, &Selection::default()).find(folder.path());
        request(TEXT, &Selection::default()).write(folder.path(), "a").unwrap();
        assert!(find("title = 'b'\nseeds = [0]\n[[task]]\ntask = 'digits'\n").unwrap().is_some());
        let err = find("seeds = [0, 1]\n[[task]]\ntask = 'digits'\n").unwrap_err().to_string();
        assert!(err.contains("s.csv is of another suite than s is now"), "{err}");
        fs::remove_file(folder.path().join("s.json")).unwrap();
        assert!(find(TEXT).is_err(), "nobody says what it is of");
    }
}
