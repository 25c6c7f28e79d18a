//! Published sets: where their files may be, and how to get them.

use std::path::{Path, PathBuf};

use super::DataError;

/// The places of the files of a published set, and instructions to get them.
pub struct Origin {
    /// The name of the set.
    pub set: &'static str,
    /// Folders in the data folder; `""` is the data folder itself.
    pub folders: &'static [&'static str],
    /// Folders into which a package of the operating system puts them.
    pub system: &'static [&'static str],
    /// Instructions to get them, in one line.
    pub get: &'static str,
}

impl Origin {
    /// The error for a file that is in none of the places.
    pub fn missing(&self, file: String, places: &[PathBuf]) -> DataError {
        let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
        let places = if places.is_empty() { "any folder".into() } else { places.join(" or ") };
        DataError::Missing { set: self.set, file, places, get: self.get }
    }

    /// The error for a file that exists, but whose content is wrong.
    pub fn damaged(&self, path: &Path, message: impl AsRef<str>) -> DataError {
        let message = format!("{}; {}", message.as_ref(), self.get);
        DataError::Content { path: path.into(), message }
    }
}
