//! Errors in a file, with their place.

/// A fault of an input: the file, the place in it, the value found and the value expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {}{problem}", if entry.is_empty() { String::new() } else { format!("{entry}: ") })]
pub struct Error {
    /// The file.
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

/// The result of reading.
pub type Result<T> = std::result::Result<T, Error>;
