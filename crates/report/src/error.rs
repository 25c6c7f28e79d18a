//! Errors in the input of a user.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::few;

/// An error in the input, with the value, the place and the known alternatives.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The text is not csv: a row with too few fields, or a quote that is never closed.
    #[error("{place}: {message}; the columns are {}", crate::columns::NEEDED.join(","))]
    Csv {
        /// File and line.
        place: String,
        /// The fault.
        message: String,
    },
    /// A documented column is missing.
    #[error("{file}:1: column {column:?} is missing; the columns are {}", crate::columns::NEEDED.join(","))]
    NoColumn {
        /// The file.
        file: String,
        /// The column.
        column: &'static str,
    },
    /// A field that should be a number is not one.
    #[error("{place}: {column} = {value:?} is not {wanted}; the columns are {}", crate::columns::NEEDED.join(","))]
    BadNumber {
        /// File and line.
        place: String,
        /// The column.
        column: &'static str,
        /// The value in the file.
        value: String,
        /// The expected kind of value.
        wanted: String,
    },
    /// A name is unknown.
    #[error("no {what} is named {name:?}; known: {known}")]
    Unknown {
        /// The kind of name, for example "metric".
        what: &'static str,
        /// The name that was given.
        name: String,
        /// The alternatives, comma separated.
        known: String,
    },
    /// Two runs have the same metric, split, method and seed.
    #[error(
        "{at}: {what} appears twice, from runs {first:?} and {second:?}; a comparison takes one \
         value per seed"
    )]
    Twice {
        /// Suite, task and backbone.
        at: String,
        /// Metric, split, method and seed.
        what: String,
        /// The run that came first.
        first: String,
        /// The run that came second.
        second: String,
    },
    /// Runs of two revisions of the code in one comparison.
    #[error(
        "{at}: runs of {} code revisions ({}) are not compared with each other without --mix-revisions",
        revisions.len(), crate::few(revisions)
    )]
    Revisions {
        /// Suite, task and backbone.
        at: String,
        /// The revisions, in order of appearance.
        revisions: Vec<String>,
    },
    /// The query cannot be answered with these results.
    #[error("{0}")]
    Query(String),
}

impl Error {
    /// The error for an unknown name, with the known ones.
    pub(crate) fn unknown<'a>(
        what: &'static str,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self::Unknown { what, name: name.into(), known: few(known) }
    }

    /// Makes the error of a file from an error of the system.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |source| Self::File { path: path.into(), source }
    }
}
