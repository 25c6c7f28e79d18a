//! Errors of loading a task's data.

use std::{io, path::PathBuf};

use moe::ConfigError;

/// Errors of loading a task's data.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The task's hyperparameters are invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The task needs files, and no data folder was given.
    #[error("{file} is needed; give the data folder with --data-dir DIR")]
    NoFolder {
        /// The required file.
        file: String,
    },
    /// A file is in none of its possible folders.
    #[error("{set} needs {file}, which is not in {places} (--data-dir sets another folder); {get}")]
    Missing {
        /// The set.
        set: &'static str,
        /// The required file.
        file: String,
        /// The folders that were searched.
        places: String,
        /// Instructions to get it.
        get: &'static str,
    },
    /// A file cannot be read.
    #[error("cannot read {path}: {source}; the folder comes from --data-dir")]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A split has no examples.
    #[error("task {task:?}: {} examples for training, {} for validation, {} for test; \
             each split has at least 1", counts[0], counts[1], counts[2])]
    EmptySplit {
        /// The name of the task.
        task: &'static str,
        /// The number of examples of each split: train, valid, test.
        counts: [usize; 3],
    },
    /// A file exists, but its content is wrong.
    #[error("{path}: {message}")]
    Content {
        /// The file.
        path: PathBuf,
        /// The fault.
        message: String,
    },
}
