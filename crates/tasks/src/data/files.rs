//! Files of a folder in a published layout, real or generated.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use moe::ConfigError;

use super::{DataDir, DataError};

/// Files by name, from a folder in the data folder or from memory.
pub(crate) struct Files<'a> {
    data: &'a DataDir,
    folder: Option<&'a str>,
    made: BTreeMap<String, Vec<u8>>,
}

impl<'a> Files<'a> {
    /// The files of the folder, or those that `make` generates if no folder is given.
    pub(crate) fn new(
        data: &'a DataDir,
        folder: Option<&'a str>,
        make: impl FnOnce() -> BTreeMap<String, Vec<u8>>,
    ) -> Self {
        let made = if folder.is_some() { BTreeMap::new() } else { make() };
        Self { data, folder, made }
    }

    /// Whether the files are generated.
    pub(crate) fn are_made(&self) -> bool {
        self.folder.is_none()
    }

    /// Whether a file of this name exists.
    pub(crate) fn has(&self, name: &str) -> bool {
        match self.folder {
            Some(folder) => {
                self.data.path(&format!("{folder}/{name}")).is_ok_and(|path| path.exists())
            }
            None => self.made.contains_key(name),
        }
    }

    /// A file's content.
    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>, DataError> {
        match self.folder {
            Some(folder) => Ok(self.data.read(&format!("{folder}/{name}"))?.1),
            None => self.made.get(name).cloned().ok_or_else(|| content(name, "it is missing")),
        }
    }

    /// Passes on the items that were read from a folder, which must not be empty; `expected` describes them.
    ///
    /// # Errors
    /// If there are no items.
    pub(crate) fn some<T>(
        &self,
        name: &str,
        expected: &str,
        read: Vec<T>,
    ) -> Result<Vec<T>, DataError> {
        if !read.is_empty() {
            return Ok(read);
        }
        let folder = self.folder.map_or_else(|| name.into(), |folder| format!("{folder}/{name}"));
        Err(content(&folder, format!("no such folder, or it is empty; expected {expected}")))
    }

    /// The sorted names of the entries directly in a folder; empty if there is no such folder.
    pub(crate) fn entries(&self, name: &str) -> Result<Vec<String>, DataError> {
        let Some(folder) = self.folder else {
            let inside = format!("{name}/");
            let inner = self.made.keys().filter_map(|file| file.strip_prefix(&inside));
            let first = |rest: &str| rest.split('/').next().unwrap_or_default().to_string();
            let names: BTreeSet<String> = inner.map(first).collect();
            return Ok(names.into_iter().collect());
        };
        let path = self.data.path(&format!("{folder}/{name}"))?;
        if !path.is_dir() {
            return Ok(vec![]);
        }
        let names = self.data.list(&path)?.into_iter();
        let names = names.filter_map(|path| Some(path.file_name()?.to_string_lossy().to_string()));
        Ok(names.collect())
    }
}

/// The error for a file with wrong content.
pub(crate) fn content(file: &str, message: impl ToString) -> DataError {
    DataError::Content { path: PathBuf::from(file), message: message.to_string() }
}

/// The same, from an error of the formats.
pub(crate) fn fault(error: soccernet::Error) -> DataError {
    let message = match error.entry.as_str() {
        "" => error.problem,
        entry => format!("{entry}: {}", error.problem),
    };
    content(&error.file, message)
}

/// The error for a config of a task that is invalid.
pub(crate) fn wrong(name: &str, message: impl ToString) -> DataError {
    let (what, name) = ("task", name.to_string());
    ConfigError::Invalid { what, name, message: message.to_string() }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_and_what_is_made_are_read_alike() {
        let folder = tempfile::tempdir().unwrap();
        let made: BTreeMap<String, Vec<u8>> =
            [("train/b/x.txt", "1"), ("train/a/y.txt", "2"), ("train/a/z.txt", "3"), ("top", "4")]
                .map(|(name, text)| (name.to_string(), text.as_bytes().to_vec()))
                .into();
        for (name, bytes) in &made {
            let path = folder.path().join("set").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        let data = DataDir::new(Some(folder.path().into()));
        for files in
            [Files::new(&data, Some("set"), BTreeMap::new), Files::new(&data, None, || made)]
        {
            assert_eq!(files.entries("train").unwrap(), ["a", "b"]);
            assert_eq!(files.entries("train/a").unwrap(), ["y.txt", "z.txt"]);
            assert_eq!(files.entries("none").unwrap(), [""; 0]);
            let err = files.some("none", "images", files.entries("none").unwrap()).unwrap_err();
            assert!(err.to_string().ends_with("expected images"), "{err}");
            assert!(files.has("top") && !files.has("train/none"));
            assert_eq!(files.read("train/b/x.txt").unwrap(), b"1");
            assert!(files.read("none").is_err());
        }
    }
}
