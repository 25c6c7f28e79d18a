//! The data folder. Tasks read files only through it, so that the files behind a task are known.

mod digest;
mod error;
pub(crate) mod files;
mod image_file;
mod origin;
mod sizes;
mod unpacked;

pub use digest::DataDigest;
pub use error::DataError;
pub(crate) use image_file::decode_image;
pub use origin::Origin;
pub(crate) use sizes::fits;
pub(crate) use unpacked::most_unpacked;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// The folder with the data sets, if there is one. It keeps a digest of each file that is read.
#[derive(Debug, Default)]
pub struct DataDir {
    folder: Option<PathBuf>,
    digest: Mutex<DataDigest>,
}

impl DataDir {
    /// The data folder at this path; without one, only tasks with embedded or generated data can be loaded.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, digest: Mutex::default() }
    }

    /// The same folder, with an empty digest.
    pub(crate) fn unread(&self) -> Self {
        Self::new(self.folder.clone())
    }

    /// The digest of the files read so far.
    pub fn digest(&self) -> DataDigest {
        self.digest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The full path of a file or folder in the data folder. It need not exist. An absolute path is
    /// unchanged.
    ///
    /// # Errors
    /// If there is no data folder.
    pub fn path(&self, name: &str) -> Result<PathBuf, DataError> {
        match &self.folder {
            _ if Path::new(name).is_absolute() => Ok(name.into()),
            Some(folder) => Ok(folder.join(name)),
            None => Err(DataError::NoFolder { file: name.into() }),
        }
    }

    /// The bytes of a file in the data folder, and its full path.
    ///
    /// # Errors
    /// If there is no data folder, or the file cannot be read.
    pub fn read(&self, file: &str) -> Result<(PathBuf, Vec<u8>), DataError> {
        let path = self.path(file)?;
        let bytes = self.read_path(&path)?;
        Ok((path, bytes))
    }

    /// The bytes of a file by its full path. In the digest it has its name within the data folder.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read_path(&self, path: &Path) -> Result<Vec<u8>, DataError> {
        let inside = self.folder.as_ref().and_then(|folder| path.strip_prefix(folder).ok());
        self.read_as(&slashes(inside.unwrap_or(path)), path)
    }

    /// The bytes of a file of a set, and its full path: the first of `names` in the first place that has one.
    /// Its name in the digest is `SET/NAME`, wherever it was found.
    ///
    /// # Errors
    /// If no place has the file, or it cannot be read.
    pub fn find(&self, origin: &Origin, names: &[&str]) -> Result<(PathBuf, Vec<u8>), DataError> {
        let path = self.locate(origin, names)?;
        let bytes = self.read_of(origin, &path)?;
        Ok((path, bytes))
    }

    /// The full path of a file that [`DataDir::find`] would read.
    ///
    /// # Errors
    /// If no place has the file.
    pub fn locate(&self, origin: &Origin, names: &[&str]) -> Result<PathBuf, DataError> {
        let places = self.places(origin);
        let paths = places.iter().flat_map(|place| names.iter().map(|name| place.join(name)));
        let path = paths.into_iter().find(|path| path.exists());
        path.ok_or_else(|| origin.missing(names.join(" or "), &places))
    }

    /// The bytes of a file of a set by its full path. In the digest it is `SET/NAME`.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read_of(&self, origin: &Origin, path: &Path) -> Result<Vec<u8>, DataError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.read_as(&format!("{}/{name}", origin.set), path)
    }

    /// The folders where the files of a set may be.
    pub fn places(&self, origin: &Origin) -> Vec<PathBuf> {
        let own = self.folder.iter();
        let own = own.flat_map(|data| origin.folders.iter().map(|name| data.join(name)));
        own.chain(origin.system.iter().map(PathBuf::from)).collect()
    }

    /// The full paths of the entries of a folder, sorted by name.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn list(&self, folder: &Path) -> Result<Vec<PathBuf>, DataError> {
        let list =
            || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>();
        let mut paths: Vec<PathBuf> =
            list().map_err(|source| DataError::File { path: folder.into(), source })?;
        paths.sort();
        Ok(paths)
    }

    /// All files below a folder of a set, by their names within it, with `/` between the parts of a name. The
    /// digest has one entry for all of them, `SET/FOLDER`, made from all names and contents.
    ///
    /// # Errors
    /// If the folder, or a file of it, cannot be read.
    pub fn read_tree(
        &self,
        origin: &Origin,
        folder: &Path,
    ) -> Result<Vec<(String, Vec<u8>)>, DataError> {
        let named = |path: PathBuf| {
            let bytes = read_file(&path)?;
            Ok((slashes(path.strip_prefix(folder).unwrap_or(&path)), bytes))
        };
        let files = files_below(folder)?.into_iter().map(named);
        let mut files = files.collect::<Result<Vec<_>, DataError>>()?;
        files.sort();
        let mut all = Vec::new();
        for (name, bytes) in &files {
            // Each name and content is preceded by its length: no two lists give the same bytes.
            for part in [name.as_bytes(), bytes] {
                all.extend((part.len() as u64).to_le_bytes());
                all.extend(part);
            }
        }
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        self.embedded(&format!("{}/{name}", origin.set), &all);
        Ok(files)
    }

    /// Adds data that come with the program to the digest.
    pub fn embedded(&self, name: &str, bytes: &[u8]) {
        self.digest.lock().unwrap_or_else(PoisonError::into_inner).add(name, bytes);
    }

    fn read_as(&self, name: &str, path: &Path) -> Result<Vec<u8>, DataError> {
        let bytes = read_file(path)?;
        self.embedded(name, &bytes);
        Ok(bytes)
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, DataError> {
    ::files::read_regular(path, u64::MAX)
        .map_err(|source| DataError::File { path: path.into(), source })
}

/// A path as text with `/` between its parts, on every system.
fn slashes(path: &Path) -> String {
    path.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// The full paths of the files below a folder, sorted by name, as [`files::files_below`] finds them.
pub(crate) fn files_below(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    ::files::files_below(folder).map_err(|(path, source)| match source.kind() {
        io::ErrorKind::InvalidData => DataError::Content { path, message: source.to_string() },
        _ => DataError::File { path, source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_folder_and_a_missing_file_are_told_apart() {
        let err = DataDir::default().read("a.txt").unwrap_err().to_string();
        assert_eq!(err, "a.txt is needed; give the data folder with --data-dir DIR");
        let err = DataDir::new(Some("nowhere".into())).read("a.txt").unwrap_err().to_string();
        assert!(err.contains("nowhere/a.txt") && err.contains("--data-dir"), "{err}");
    }

    const ORIGIN: Origin =
        Origin { set: "marks", folders: &["marks", ""], system: &[], get: "get it with x" };

    fn names(data: &DataDir) -> Vec<String> {
        data.digest().iter().map(|(name, _)| name.to_string()).collect()
    }

    #[test]
    fn the_first_place_that_has_a_file_wins() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::new(Some(folder.path().into()));
        fs::write(folder.path().join("b"), "outer").unwrap();
        assert_eq!(data.find(&ORIGIN, &["a", "b"]).unwrap().1, b"outer");
        let outer = data.digest();
        fs::create_dir(folder.path().join("marks")).unwrap();
        fs::write(folder.path().join("marks/b"), "inner").unwrap();
        assert_eq!(data.find(&ORIGIN, &["a", "b"]).unwrap().1, b"inner");
        assert_eq!(names(&data), ["marks/b"]);
        assert_eq!(data.digest().differences(&outer), ["marks/b"]);
    }

    #[test]
    fn a_file_that_is_nowhere_is_looked_for_by_name() {
        let data = DataDir::new(Some("nowhere".into()));
        let err = data.find(&ORIGIN, &["a", "a.gz"]).unwrap_err().to_string();
        let expected = "marks needs a or a.gz, which is not in nowhere/marks or nowhere/ \
                        (--data-dir sets another folder); get it with x";
        assert_eq!(err, expected);
        let err = DataDir::default().find(&ORIGIN, &["a"]).unwrap_err().to_string();
        assert!(err.contains("not in any folder"), "{err}");
    }

    #[test]
    fn the_digest_has_all_that_was_read_and_does_not_know_where_the_folder_is() {
        let read = || {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("texts")).unwrap();
            fs::write(folder.path().join("texts/a.txt"), "one").unwrap();
            let data = DataDir::new(Some(folder.path().into()));
            data.read_path(&folder.path().join("texts/a.txt")).unwrap();
            data.embedded("digits", b"pixels");
            assert!(data.unread().digest().is_empty());
            (names(&data), data.digest().sha256())
        };
        assert_eq!(read(), read());
        assert_eq!(read().0, ["digits", "texts/a.txt"]);
    }
}
