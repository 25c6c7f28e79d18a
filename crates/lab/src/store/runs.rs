//! The folder of runs: one folder a run, named by what the run follows from.

use std::{
    fmt,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use serde::{Serialize, de::DeserializeOwned};
use training::{remove_parts, write_atomic};

use super::record::Ended;

/// What is not finite where JSON, which has no NaN and no infinity, is to be written: the cause for
/// which a run fails.
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
    /// Whether this process writes the files of runs, or another one beside it.
    writes: bool,
}

impl Store {
    /// Opens the folder, and makes it if need be.
    pub(crate) fn open(root: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(root).with_context(|| format!("runs folder {}", root.display()))?;
        Ok(Self { root: root.into(), writes: true })
    }

    /// The folder as it is, for a process that leaves the writing to another one.
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
        let path = self.folder(id).join("result.json");
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|err| {
                let path = path.display();
                anyhow!("{path} is damaged: {err}; remove it to train the run again")
            }),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(err) => Err(err).with_context(|| path.display().to_string()),
        }
    }

    /// Writes how a run ended.
    pub(crate) fn end(&self, id: &str, ended: &Ended) -> anyhow::Result<()> {
        self.write(id, "result.json", ended)
    }

    /// Writes a file of a run as JSON. A value that cannot be read back is [`NotFinite`].
    pub(crate) fn write<T>(&self, id: &str, name: &str, value: &T) -> anyhow::Result<()>
    where
        T: Serialize + DeserializeOwned + PartialEq,
    {
        let path = self.folder(id).join(name);
        let bytes = serde_json::to_vec_pretty(value)?;
        // NaN and infinity are written as null.
        if serde_json::from_slice::<T>(&bytes).ok().as_ref() != Some(value) {
            return Err(NotFinite(format!("{name}: a number in it is NaN or infinite")).into());
        }
        if !self.writes {
            return Ok(());
        }
        write_atomic(&path, &bytes).with_context(|| path.display().to_string())
    }

    /// Waits until no other process is at a run, and takes it.
    pub(crate) fn wait_for(&self, id: &str) -> anyhow::Result<File> {
        let path = self.folder(id).join("lock");
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        file.lock().with_context(|| path.display().to_string())?;
        Ok(file)
    }

    /// Takes a run for this process; none if another one is at it. The system gives the lock back
    /// when the process ends, however it ends.
    pub(crate) fn lock(&self, id: &str) -> anyhow::Result<Option<File>> {
        let folder = self.folder(id);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let path = folder.join("lock");
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        match file.try_lock() {
            Ok(()) => {
                // What killed processes were writing.
                remove_parts(&folder, None).with_context(|| folder.display().to_string())?;
                Ok(Some(file))
            }
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(err)) => Err(err).with_context(|| path.display().to_string()),
        }
    }
}

/// A JSON file of a run, if it has one.
pub(crate) fn read_json<T: DeserializeOwned>(
    folder: &Path,
    name: &str,
) -> anyhow::Result<Option<T>> {
    let path = folder.join(name);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(err).with_context(|| path.display().to_string()),
    };
    let damaged = |err| anyhow!("{} is damaged: {err}", path.display());
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
            assert_eq!(err.to_string(), "start.json: a number in it is NaN or infinite");
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
