//! Errors in a file, with their place.

use std::fmt;

use serde::Serialize;

/// A fault of an input: the file, the place in it, and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Error {
    /// The file, by its name within the folder or archive.
    pub file: String,
    /// The place in the file; empty for a fault of the file as a whole.
    pub entry: String,
    /// The value that was found and the one that was expected.
    pub problem: String,
}

impl Error {
    /// A fault of a whole file.
    pub fn file(file: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::entry(file, "", problem)
    }

    /// A fault of an entry of a file.
    pub fn entry(
        file: impl Into<String>,
        entry: impl Into<String>,
        problem: impl Into<String>,
    ) -> Self {
        Self { file: file.into(), entry: entry.into(), problem: problem.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.entry.as_str() {
            "" => write!(f, "{}: {}", self.file, self.problem),
            entry => write!(f, "{}: {entry}: {}", self.file, self.problem),
        }
    }
}

impl std::error::Error for Error {}

/// The result of reading or scoring.
pub type Result<T> = std::result::Result<T, Error>;
