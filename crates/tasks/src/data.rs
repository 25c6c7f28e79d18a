//! Where data sets lie that do not come with a Cargo dependency.

use std::{fs, io, path::PathBuf};

use moe::ConfigError;

/// The folder with the data sets, if there is one.
#[derive(Clone, Debug, Default)]
pub struct DataDir(pub Option<PathBuf>);

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
}
