//! The folder of runs: one folder per run, whose name is the run's identity.

use std::{
    collections::BTreeSet,
    fmt,
    fs::{self, File, TryLockError},
    io,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, anyhow};
use files::{create_folder, remove_parts, write_atomic};
use report::trace::Trace;
use serde::{Serialize, de::DeserializeOwned};
use training::{StepLog, StepRow};

use super::{
    record::Ended,
    run_files,
    seal::{RESULT, Seal},
};

/// A number that is not finite and cannot be written as JSON, which has no NaN and no infinity. It is a cause
/// of a run's failure.
#[derive(Debug)]
pub(crate) struct NotFinite(pub(crate) String);

impl fmt::Display for NotFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotFinite {}

/// All runs under one folder.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    root: PathBuf,
    /// Whether this process writes the files of runs; if not, another process does.
    writes: bool,
}

impl Store {
    /// Opens the folder, and creates it if it does not exist.
    pub(crate) fn open(root: &Path) -> anyhow::Result<Self> {
        create_folder(root).with_context(|| format!("runs folder {}", root.display()))?;
        Ok(Self { root: root.into(), writes: true })
    }

    /// Opens the folder without creating it, for a process that leaves the writing to another one.
    pub(crate) fn for_reading(root: &Path) -> Self {
        Self { root: root.into(), writes: false }
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of a run.
    pub(crate) fn folder(&self, id: &str) -> PathBuf {
        self.root.join(id)
    }

    /// The end of a run, if it has ended.
    pub(crate) fn ended(&self, id: &str) -> anyhow::Result<Option<Ended>> {
        Ok(Seal::read(&self.folder(id))?.map(|seal| seal.ended))
    }

    /// Writes the end of a run and the digests of its files, after which nothing of the run changes. Only the
    /// holder of the run's lock may call this, after all other files are written.
    pub(crate) fn end(&self, id: &str, ended: &Ended) -> anyhow::Result<()> {
        self.seal(id, &Seal::of(id, ended, &self.folder(id))?)
    }

    /// Adds files that were written after the end of a run to its seal.
    pub(crate) fn add(&self, id: &str, names: &[String]) -> anyhow::Result<()> {
        let folder = self.folder(id);
        let Some(mut seal) = Seal::read(&folder)? else { return Ok(()) };
        seal.add(&folder, names)?;
        self.seal(id, &seal)
    }

    fn seal(&self, id: &str, seal: &Seal) -> anyhow::Result<()> {
        let (path, bytes) = (self.folder(id).join(RESULT), seal.to_bytes()?);
        if Seal::parse(&bytes).ok().as_ref() != Some(seal) {
            return Err(not_finite(RESULT));
        }
        write_atomic(&path, &bytes).with_context(|| path.display().to_string())
    }

    /// Checks all files of a finished run, except its checkpoint, against their digests.
    pub(crate) fn check(&self, id: &str) -> anyhow::Result<()> {
        let folder = self.folder(id);
        Seal::read(&folder)?.map_or(Ok(()), |seal| seal.check_all(&folder))
    }

    /// Writes a file of a run as JSON. A value that cannot be read back is an error, [`NotFinite`].
    pub(crate) fn write<T>(&self, id: &str, name: &str, value: &T) -> anyhow::Result<()>
    where
        T: Serialize + DeserializeOwned + PartialEq,
    {
        let path = self.folder(id).join(name);
        let bytes = serde_json::to_vec_pretty(value)?;
        // NaN and infinity are written as null.
        if serde_json::from_slice::<T>(&bytes).ok().as_ref() != Some(value) {
            return Err(not_finite(name));
        }
        if run_files::read(&path)?.as_ref() == Some(&bytes) {
            return Ok(());
        }
        if !self.writes {
            return Ok(());
        }
        write_atomic(&path, &bytes).with_context(|| path.display().to_string())
    }

    /// Locks a run for this process; none if another process is training it. The system releases the lock
    /// when the process ends in any way.
    pub(crate) fn lock(&self, id: &str) -> anyhow::Result<Option<File>> {
        let folder = self.folder(id);
        run_files::is_folder(&folder)?;
        create_folder(&folder).with_context(|| folder.display().to_string())?;
        let path = folder.join("lock");
        let file = lock_file(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(err)) => {
                return Err(err).with_context(|| path.display().to_string());
            }
        }
        let paths = run_files::names(&folder)?.into_iter().map(|name| folder.join(name));
        let folders: BTreeSet<PathBuf> =
            paths.filter_map(|path| path.parent().map(Path::to_path_buf)).collect();
        for folder in folders {
            remove_parts(&folder, None).with_context(|| folder.display().to_string())?;
        }
        Ok(Some(file))
    }

    /// Removes a failed run with all of its files, unless another process is training it.
    pub(crate) fn remove_failed(&self, id: &str) -> anyhow::Result<()> {
        let folder = self.folder(id);
        let Some(_lock) = self.lock(id)? else { return Ok(()) };
        if !matches!(self.ended(id)?, Some(Ended::Failed { .. })) {
            return Ok(());
        }
        // The seal is removed first: if the process is killed here, the rest is a run that has not ended.
        let removed =
            fs::remove_file(folder.join(RESULT)).and_then(|()| fs::remove_dir_all(&folder));
        removed.with_context(|| folder.display().to_string())
    }

    /// Removes the folder of a run that could not begin: it contains only a lock, which this process holds.
    pub(crate) fn remove_empty(&self, id: &str) {
        let folder = self.folder(id);
        let is_lock =
            |entry: io::Result<fs::DirEntry>| entry.is_ok_and(|it| it.file_name() == "lock");
        if fs::read_dir(&folder).is_ok_and(|mut entries| entries.all(is_lock)) {
            // A folder that cannot be removed does no harm: the next process takes the lock that is there.
            let _ = fs::remove_file(folder.join("lock")).and_then(|()| fs::remove_dir(&folder));
        }
    }
}

/// Opens an empty file for use as a lock.
pub(super) fn lock_file(path: &Path) -> anyhow::Result<File> {
    run_files::is_file(path)?;
    let opened = File::options().create(true).append(true).open(path);
    opened.with_context(|| path.display().to_string())
}

fn not_finite(name: &str) -> anyhow::Error {
    NotFinite(format!("{name}: it contains a number that is NaN or infinite")).into()
}

/// The folder of the run with this name; none if the name, which comes from results of any origin, is not the
/// name of a folder.
pub(crate) fn folder_named(runs: &Path, id: &str) -> Option<PathBuf> {
    let mut parts = Path::new(id).components();
    let one =
        matches!((parts.next(), parts.next()), (Some(Component::Normal(name)), None) if name == id);
    (one && !id.contains('\\')).then(|| runs.join(id))
}

/// The log of a run; empty if it has none yet.
///
/// # Errors
/// The same as [`read_file`], or if a row is invalid.
pub(crate) fn read_log(folder: &Path) -> anyhow::Result<Vec<StepRow>> {
    let path = StepLog::path(folder);
    let Some(bytes) = read_file(folder, "metrics.csv")? else { return Ok(Vec::new()) };
    StepLog::parse(&bytes).with_context(|| path.display().to_string())
}

/// The content of a file of a run, if it exists.
///
/// # Errors
/// If the run has ended and the file has changed since then, or if it is a link.
pub(crate) fn read_file(folder: &Path, name: &str) -> anyhow::Result<Option<Vec<u8>>> {
    read_sealed(Seal::read(folder)?.as_ref(), folder, name)
}

/// The same, for a run whose seal, if it has one, is known.
fn read_sealed(seal: Option<&Seal>, folder: &Path, name: &str) -> anyhow::Result<Option<Vec<u8>>> {
    match seal {
        Some(seal) => seal.read_file(folder, name),
        None => run_files::read(&folder.join(name)),
    }
}

/// Whether a run has this file, and its seal includes it.
pub(crate) fn has_file(folder: &Path, name: &str) -> anyhow::Result<bool> {
    match Seal::read(folder)? {
        Some(seal) => seal.knows(folder, name),
        None => run_files::is_file(&folder.join(name)),
    }
}

/// The traces of a run in its folder, by step, or those of one side of an encoder-decoder; empty if it was
/// not traced.
///
/// # Errors
/// If a file has changed since the run ended, or is not a trace.
pub fn read_traces(folder: &Path, side: &str) -> anyhow::Result<Vec<Trace>> {
    let seal = Seal::read(folder)?;
    let names = match &seal {
        Some(seal) => seal.names(folder)?,
        None if run_files::is_folder(folder)? => run_files::names(folder)?,
        None => Vec::new(),
    };
    let is_trace = |name: &&String| {
        let path = Path::new(name);
        path.parent() == Some(&Path::new("trace").join(side))
            && path.extension().is_some_and(|end| end == "safetensors")
    };
    let mut traces = Vec::new();
    for name in names.iter().filter(is_trace) {
        let Some(bytes) = read_sealed(seal.as_ref(), folder, name)? else { continue };
        traces.push(Trace::parse(&folder.join(name).display().to_string(), &bytes)?);
    }
    traces.sort_by_key(|trace| trace.about.step);
    Ok(traces)
}

/// A JSON file of a run, if it exists.
///
/// # Errors
/// The same as [`read_file`], or if the file has other fields than expected.
pub(crate) fn read_json<T: DeserializeOwned>(
    folder: &Path,
    name: &str,
) -> anyhow::Result<Option<T>> {
    let Some(bytes) = read_file(folder, name)? else { return Ok(None) };
    let damaged = |err| anyhow!("{} is damaged: {err}", folder.join(name).display());
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_done_once_its_result_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("runs")).unwrap();
        let lock = store.lock("a").unwrap();
        assert!(lock.is_some() && store.lock("a").unwrap().is_none());
        assert_eq!(store.ended("a").unwrap(), None);
        let ended = Ended::Failed { step: 3, cause: "the loss is NaN".into() };
        store.end("a", &ended).unwrap();
        assert_eq!(store.ended("a").unwrap(), Some(ended));
    }

    #[test]
    fn a_run_that_could_not_begin_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let _locks = ["a", "b"].map(|id| store.lock(id).unwrap().unwrap());
        store.write("b", "groups.json", &vec![1, 2]).unwrap();
        ["a", "b", "none"].iter().for_each(|id| store.remove_empty(id));
        assert!(!store.folder("a").exists() && store.folder("b").join("lock").exists());
        assert!(store.lock("a").unwrap().is_some());
    }

    #[test]
    fn a_run_is_removed_only_if_it_has_failed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        for id in ["failed", "open"] {
            let _lock = store.lock(id).unwrap().unwrap();
            store.write(id, "groups.json", &vec![1, 2]).unwrap();
        }
        let lock = store.lock("failed").unwrap().unwrap();
        store.end("failed", &Ended::Failed { step: 0, cause: "the loss is NaN".into() }).unwrap();
        store.remove_failed("failed").unwrap();
        assert!(store.folder("failed").exists(), "another one is at it");
        drop(lock);
        ["failed", "open"].iter().for_each(|id| store.remove_failed(id).unwrap());
        assert!(!store.folder("failed").exists());
        assert!(store.folder("open").join("groups.json").exists());
    }

    #[test]
    fn a_file_that_has_changed_since_the_end_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let lock = store.lock("a").unwrap();
        store.write("a", "groups.json", &vec![1, 2]).unwrap();
        fs::write(folder.path().join("a/config.json.1-2.part"), "{").unwrap();
        drop(lock);
        let _lock = store.lock("a").unwrap().unwrap();
        store.end("a", &Ended::Failed { step: 0, cause: String::new() }).unwrap();
        let (place, groups) = (store.folder("a"), store.folder("a").join("groups.json"));
        let read = || read_json::<Vec<i32>>(&place, "groups.json");
        assert_eq!(read().unwrap().unwrap(), [1, 2]);
        fs::write(place.join("routing.json"), "[]").unwrap();
        assert!(!has_file(&place, "routing.json").unwrap());
        store.add("a", &["routing.json".into()]).unwrap();
        assert!(has_file(&place, "routing.json").unwrap() && store.check("a").is_ok());
        fs::write(&groups, "[1, 3]").unwrap();
        let err = read().unwrap_err().to_string();
        assert_eq!(err, store.check("a").unwrap_err().to_string());
        assert!(err.contains("groups.json is damaged") && err.contains("to train"), "{err}");
        fs::remove_file(&groups).unwrap();
        assert!(read().unwrap_err().to_string().contains("is missing"), "no other network");
    }

    #[test]
    fn names_of_runs_are_no_paths() {
        let runs = Path::new("runs");
        assert_eq!(folder_named(runs, "0a1b"), Some(runs.join("0a1b")));
        for name in ["", ".", "..", "/etc", "a/b", "a/", "../a", "./a", "a\\b"] {
            assert_eq!(folder_named(runs, name), None, "{name}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_folder_of_a_run_is_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("runs")).unwrap();
        std::os::unix::fs::symlink(folder.path(), store.folder("a")).unwrap();
        let err = store.lock("a").unwrap_err().to_string();
        assert!(err.contains("is a link, not a folder"), "{err}");
        assert!(store.ended("a").is_err() && read_file(&store.folder("a"), "x").is_err());
        store.lock("b").unwrap();
        std::os::unix::fs::symlink("/etc/hostname", store.folder("b").join("config.json")).unwrap();
        assert!(read_file(&store.folder("b"), "config.json").is_err());
        assert!(store.lock("b").is_err(), "nothing is read or written through it");
    }

    #[test]
    fn what_is_not_finite_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.lock("a").unwrap();
        let write = |norm| {
            let norms = pruning::LayerNorms { router: Some(vec![1.0, norm]), experts: None };
            store.write("a", "start.json", &vec![norms])
        };
        for norm in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let err = write(norm).unwrap_err().downcast::<NotFinite>().unwrap();
            assert_eq!(err.to_string(), "start.json: it contains a number that is NaN or infinite");
        }
        assert!(store.write("a", "groups.json", &Some(f64::NAN)).is_err(), "it would be none");
        for norm in [-0.0, 5e-324, f64::MAX] {
            write(norm).unwrap();
        }
    }

    #[test]
    fn a_damaged_result_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.lock("a").unwrap();
        fs::write(folder.path().join("a/result.json"), "{").unwrap();
        assert!(store.ended("a").unwrap_err().to_string().contains("remove it to train"));
    }
}
