//! Where data sets lie that do not come with a Cargo dependency.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use moe::ConfigError;

/// The folder with the data sets, if there is one.
#[derive(Clone, Debug, Default)]
pub struct DataDir(pub Option<PathBuf>);

/// Where the files of a set may lie, and how to get them.
pub struct Origin {
    /// The name of the set.
    pub set: &'static str,
    /// Folders in the data folder; `""` is the data folder itself.
    pub folders: &'static [&'static str],
    /// Folders into which a package of the system puts them.
    pub system: &'static [&'static str],
    /// How to get them, in one line.
    pub get: &'static str,
}

/// Why a task's data cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The task's hyperparameters do not fit.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The task needs files, and nobody said where they are.
    #[error("{file} is needed; say where it lies with --data-dir DIR")]
    NoFolder {
        /// The file that is looked for.
        file: String,
    },
    /// A file is in none of the places where it may lie.
    #[error("{set} needs {file}, which is not in {places} (--data-dir says where else); {get}")]
    Missing {
        /// The set.
        set: &'static str,
        /// The file that is looked for.
        file: String,
        /// Where it was looked for.
        places: String,
        /// How to get it.
        get: &'static str,
    },
    /// A file cannot be read.
    #[error("cannot read {path}: {source}; the folder comes from --data-dir")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is there, but is not what it should be.
    #[error("{path}: {message}")]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

impl DataDir {
    /// The bytes of a file in the folder, and its full path.
    pub fn read(&self, file: &str) -> Result<(PathBuf, Vec<u8>), DataError> {
        let folder = self.0.as_ref().ok_or_else(|| DataError::NoFolder { file: file.into() })?;
        let path = folder.join(file);
        match fs::read(&path) {
            Ok(bytes) => Ok((path, bytes)),
            Err(source) => Err(DataError::File { path, source }),
        }
    }

    /// The bytes of a file of a set, and its full path: the first of `names` in the first place
    /// that has one.
    pub fn find(&self, origin: &Origin, names: &[&str]) -> Result<(PathBuf, Vec<u8>), DataError> {
        let places = self.places(origin);
        let paths = places.iter().flat_map(|place| names.iter().map(|name| place.join(name)));
        match paths.into_iter().find(|path| path.exists()) {
            Some(path) => match fs::read(&path) {
                Ok(bytes) => Ok((path, bytes)),
                Err(source) => Err(DataError::File { path, source }),
            },
            None => Err(origin.missing(names.join(" or "), &places)),
        }
    }

    /// The folders where the files of a set may lie.
    pub fn places(&self, origin: &Origin) -> Vec<PathBuf> {
        let own = self.0.iter().flat_map(|data| origin.folders.iter().map(|name| data.join(name)));
        own.chain(origin.system.iter().map(PathBuf::from)).collect()
    }
}

impl Origin {
    /// The error that a file is in none of the places.
    pub fn missing(&self, file: String, places: &[PathBuf]) -> DataError {
        let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
        let places = if places.is_empty() { "any folder".into() } else { places.join(" or ") };
        DataError::Missing { set: self.set, file, places, get: self.get }
    }

    /// The error that a file is there, but is not what it should be.
    pub fn damaged(&self, path: &Path, message: impl AsRef<str>) -> DataError {
        let message = format!("{}; {}", message.as_ref(), self.get);
        DataError::Content { path: path.into(), message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_folder_and_a_missing_file_are_told_apart() {
        let err = DataDir(None).read("a.txt").unwrap_err().to_string();
        assert_eq!(err, "a.txt is needed; say where it lies with --data-dir DIR");
        let err = DataDir(Some("nowhere".into())).read("a.txt").unwrap_err().to_string();
        assert!(err.contains("nowhere/a.txt") && err.contains("--data-dir"), "{err}");
    }

    const ORIGIN: Origin =
        Origin { set: "marks", folders: &["marks", ""], system: &[], get: "get it with x" };

    #[test]
    fn the_first_place_that_has_a_file_wins() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir(Some(folder.path().into()));
        fs::write(folder.path().join("b"), "outer").unwrap();
        assert_eq!(data.find(&ORIGIN, &["a", "b"]).unwrap().1, b"outer");
        fs::create_dir(folder.path().join("marks")).unwrap();
        fs::write(folder.path().join("marks/b"), "inner").unwrap();
        assert_eq!(data.find(&ORIGIN, &["a", "b"]).unwrap().1, b"inner");
    }

    #[test]
    fn a_file_that_is_nowhere_is_looked_for_by_name() {
        let data = DataDir(Some("nowhere".into()));
        let err = data.find(&ORIGIN, &["a", "a.gz"]).unwrap_err().to_string();
        let expected = "marks needs a or a.gz, which is not in nowhere/marks or nowhere/ \
                        (--data-dir says where else); get it with x";
        assert_eq!(err, expected);
        let err = DataDir(None).find(&ORIGIN, &["a"]).unwrap_err().to_string();
        assert!(err.contains("not in any folder"), "{err}");
    }
}
