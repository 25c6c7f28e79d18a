//! The file with the results of a request: a suite, and the options that make its runs different. Each
//! request has a separate file, so that no table shows other results than the requested ones.
//!
//! `runs/SUITE.csv` has the results of a whole suite, `runs/SUITE@DIGEST.csv` those with options. The JSON
//! file of the same name has the request, and digests of the suite at that time, of the files of results and
//! of itself.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use files::{hex, remove_parts, write_atomic};
use report::few;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    checksum::{is_intact, is_older, with_checksum},
    run_files,
    runs::lock_file,
};
use crate::{
    settings::SettingTree,
    spec::{Selection, shorter},
};

/// Keys of a suite that do not change its runs.
const PROSE: [&str; 7] = ["title", "about", "expect", "paper", "claim", "gate", "registration"];

/// A request for results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Request {
    /// The name of the suite.
    suite: String,
    /// The name or path as it was typed.
    asked: String,
    /// The options that make its runs different.
    options: Vec<String>,
    /// SHA-256 of the parts of the suite that determine its runs.
    digest: String,
    /// SHA-256 of each file of results, by name; none if an older version wrote them.
    files: Option<BTreeMap<String, String>>,
}

/// The files of a request, locked so that only one process writes them.
pub(crate) struct Locked(#[expect(dead_code, reason = "closing it gives the lock back")] File);

impl Request {
    /// The request for these runs of a suite.
    ///
    /// `suite` is its name, `asked` the name as typed, and `settings` its content.
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
            files: None,
        }
    }

    /// The base name of its files.
    pub(crate) fn stem(&self) -> String {
        match self.options.is_empty() {
            true => self.suite.clone(),
            false => {
                let digest = hex(&Sha256::digest(self.options.join("\n")));
                format!("{}@{}", self.suite, &digest[..8])
            }
        }
    }

    /// Whether the request is for the whole suite.
    pub(crate) fn is_whole(&self) -> bool {
        self.options.is_empty()
    }

    /// The request as it is typed.
    fn words(&self) -> String {
        let options = self.options.iter().map(|option| format!(" {}", shorter(option)));
        self.asked.clone() + &options.collect::<String>()
    }

    fn csv(&self, runs: &Path) -> PathBuf {
        runs.join(self.names()[0].as_str())
    }

    /// The names of its files: results, examples, trials, and the description of the request.
    fn names(&self) -> [String; 4] {
        let ends = [".csv", ".examples.csv", "-trials.csv", ".json"];
        ends.map(|end| format!("{}{end}", self.stem()))
    }

    /// Waits until no other process writes the files of this request, and locks them. Results that are
    /// gathered while the files are locked are never older than those that another process has written.
    pub(crate) fn lock(&self, runs: &Path) -> anyhow::Result<Locked> {
        let path = runs.join(format!("{}.lock", self.stem()));
        let file = lock_file(&path)?;
        file.lock().with_context(|| path.display().to_string())?;
        for name in self.names() {
            remove_parts(runs, Some(&name)).with_context(|| runs.display().to_string())?;
        }
        Ok(Locked(file))
    }

    /// Writes the results, the scores of single examples if they are known, and the description of the
    /// request.
    pub(crate) fn write(
        &self,
        _locked: &Locked,
        runs: &Path,
        csv: &str,
        examples: Option<&str>,
    ) -> anyhow::Result<()> {
        let [results, of_examples, _, about] = self.names();
        // An existing description may belong to an earlier version of the suite.
        remove(&runs.join(&about))?;
        remove(&runs.join(&of_examples))?;
        let mut files = BTreeMap::new();
        for (name, text) in [(of_examples, examples), (results, Some(csv))] {
            let (Some(text), path) = (text, runs.join(&name)) else { continue };
            write_atomic(&path, text.as_bytes()).with_context(|| path.display().to_string())?;
            files.insert(name, hex(&Sha256::digest(text)));
        }
        let whole = Self { files: Some(files), ..self.clone() };
        let (text, path) = (serde_json::to_string_pretty(&whole)?, runs.join(about));
        write_atomic(&path, &with_checksum(text)).with_context(|| path.display().to_string())
    }

    /// The path of the file with the trials of settings.
    pub(crate) fn trials(&self, runs: &Path) -> PathBuf {
        runs.join(self.names()[2].as_str())
    }

    /// The path of the file with its results; none if it does not exist.
    ///
    /// # Errors
    /// If the file belongs to another version of the suite, or has changed since it was written.
    pub(crate) fn find(&self, runs: &Path) -> anyhow::Result<Option<PathBuf>> {
        let csv = self.csv(runs);
        if !run_files::is_file(&csv)? {
            return Ok(None);
        }
        // Another process may be writing the files. A folder that nobody may write to has no lock and needs
        // none.
        let lock = runs.join(format!("{}.lock", self.stem()));
        let lock = run_files::is_file(&lock)?.then(|| File::open(lock).ok()).flatten();
        let _lock = lock.filter(|lock| lock.lock_shared().is_ok());
        let again =
            format!("recreate it with run {}, or give the path of the csv file", self.words());
        match Self::read(&csv.with_extension("json"))? {
            Some(there) if there.digest == self.digest && there.options == self.options => {
                there.check(runs, &again)?;
                Ok(Some(csv))
            }
            _ => {
                bail!(
                    "{} belongs to another suite or to an older version of {}; {again}",
                    csv.display(),
                    self.asked,
                )
            }
        }
    }

    /// Checks that the files of results are unchanged since they were written.
    fn check(&self, runs: &Path, again: &str) -> anyhow::Result<()> {
        let [_, of_examples, ..] = self.names();
        let known = self.files.iter().flatten();
        for (name, digest) in known {
            let bytes = run_files::read(&runs.join(name))?;
            if bytes.is_none_or(|bytes| hex(&Sha256::digest(&bytes)) != *digest) {
                bail!("{} is damaged or was changed by hand; {again}", runs.join(name).display());
            }
        }
        if self.files.as_ref().is_some_and(|files| !files.contains_key(&of_examples)) {
            let path = runs.join(of_examples);
            ensure!(!path.exists(), "{} belongs to other results; remove it", path.display());
        }
        Ok(())
    }

    /// The request to which results belong; none if no file states it.
    fn read(path: &Path) -> anyhow::Result<Option<Self>> {
        let Some(bytes) = run_files::read(path)? else { return Ok(None) };
        let request: Option<Self> = serde_json::from_slice(&bytes).ok();
        let whole = |request: &Self| request.files.is_some() && is_intact(&bytes);
        match request.filter(|request| whole(request) || is_older(&bytes)) {
            Some(request) => Ok(Some(request)),
            None => bail!("{} is damaged; remove it, and recreate it with run", path.display()),
        }
    }

    /// The error that there are no results, with the command that produces them and the existing results of
    /// the same suite.
    pub(crate) fn missing(&self, runs: &Path) -> anyhow::Error {
        let entries = fs::read_dir(runs).into_iter().flatten().flatten();
        let is_json = |path: &PathBuf| path.extension().is_some_and(|end| end == "json");
        let paths = entries.map(|entry| entry.path()).filter(is_json);
        let known = paths.filter_map(|path| Self::read(&path).ok().flatten());
        let mut known: Vec<String> =
            known.filter(|known| known.suite == self.suite).map(|known| known.words()).collect();
        known.sort();
        let known = match known.is_empty() {
            true => String::new(),
            false => {
                let known = known.iter().map(|known| format!("of {known}"));
                format!("; there are results {}", few(known))
            }
        };
        let (words, csv) = (self.words(), self.csv(runs));
        anyhow::anyhow!(
            "no results of {words}: {} does not exist; train it with run {words}{known}",
            csv.display()
        )
    }
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => {
            Err(err).with_context(|| path.display().to_string())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "title = 'a'\nseeds = [0]\n[[task]]\ntask = 'digits'\n";

    fn request(text: &'static str, wanted: &Selection) -> Request {
        Request::new(["s", "s"], &SettingTree::parse("s.toml", text).unwrap(), wanted)
    }

    fn write(request: &Request, folder: &Path, csv: &str) {
        let locked = request.lock(folder).unwrap();
        request.write(&locked, folder, csv, Some("examples")).unwrap();
    }

    #[test]
    fn results_that_have_changed_since_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let request = request(TEXT, &Selection::default());
        let find = || request.find(folder.path()).map_err(|err| err.to_string());
        write(&request, folder.path(), "a");
        for name in ["s.csv", "s.examples.csv", "s.json"] {
            let path = folder.path().join(name);
            let whole = fs::read(&path).unwrap();
            for bit in 0..whole.len() * 8 {
                let mut bytes = whole.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                fs::write(&path, bytes).unwrap();
                let err = find().unwrap_err();
                assert!(err.contains(name) && err.contains("recreate it with run"), "{err}");
            }
            fs::write(&path, &whole[1..]).unwrap();
            assert!(find().is_err());
            fs::write(&path, &whole).unwrap();
            assert!(find().unwrap().is_some());
        }
    }

    #[test]
    fn each_request_has_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let smoke = Selection { smoke: true, ..Selection::default() };
        let seeds = Selection { seeds: Some(vec![3]), ..Selection::default() };
        for (wanted, csv) in [(Selection::default(), "a"), (smoke, "b"), (seeds.clone(), "c")] {
            write(&request(TEXT, &wanted), folder.path(), csv);
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
        write(&request(TEXT, &Selection::default()), folder.path(), "a");
        assert!(find("title = 'b'\nseeds = [0]\n[[task]]\ntask = 'digits'\n").unwrap().is_some());
        let err = find("seeds = [0, 1]\n[[task]]\ntask = 'digits'\n").unwrap_err().to_string();
        assert!(
            err.contains("s.csv belongs to another suite or to an older version of s"),
            "{err}"
        );
        fs::remove_file(folder.path().join("s.json")).unwrap();
        assert!(find(TEXT).is_err(), "nobody says what it is of");
    }
}
