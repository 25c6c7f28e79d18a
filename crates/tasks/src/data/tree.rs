//! The files below a folder.

use std::path::{Path, PathBuf};

use super::{DataDir, DataError};

/// The most folders that are read behind links: links to folders with links can make many of few.
const LINKED: usize = 100_000;

/// The full paths of the files below a folder, by name. Links to folders are followed, except those to a
/// folder that they are in.
///
/// # Errors
/// If a folder cannot be read, or there are more than 100,000 behind links.
pub(crate) fn files_below(data: &DataDir, folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut walk = Walk { data, files: Vec::new(), above: Vec::new(), linked: 0 };
    walk.folder(folder, false)?;
    Ok(walk.files)
}

struct Walk<'a> {
    data: &'a DataDir,
    files: Vec<PathBuf>,
    /// The folders that the present one is in, without links.
    above: Vec<PathBuf>,
    /// Folders behind links.
    linked: usize,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, is_linked: bool) -> Result<(), DataError> {
        let real = folder.canonicalize();
        let real = real.map_err(|source| DataError::File { path: folder.into(), source })?;
        if self.above.contains(&real) {
            return Ok(());
        }
        self.linked += usize::from(is_linked);
        if self.linked > LINKED {
            let message = format!("more than {LINKED} folders behind links");
            return Err(DataError::Content { path: folder.into(), message });
        }
        self.above.push(real);
        for path in self.data.list(folder)? {
            if path.is_dir() {
                self.folder(&path, is_linked || path.is_symlink())?;
            } else {
                self.files.push(path);
            }
        }
        self.above.pop();
        Ok(())
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn links_are_followed_and_never_in_circles() {
        let place = tempfile::tempdir().unwrap();
        let [set, other] = ["set", "other"].map(|name| place.path().join(name));
        for file in ["set/b/a.txt", "set/b.txt", "other/c.txt"] {
            let path = place.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        symlink(&other, set.join("b/linked")).unwrap();
        for name in ["x", "y", "z"] {
            symlink(".", set.join(name)).unwrap();
        }
        let names = |folder: &Path| -> Vec<String> {
            let files = files_below(&DataDir::default(), folder).unwrap();
            let inside = |path: &PathBuf| path.strip_prefix(folder).unwrap().to_path_buf();
            files.iter().map(|path| inside(path).display().to_string()).collect()
        };
        assert_eq!(names(&set), ["b/a.txt", "b/linked/c.txt", "b.txt"]);
        // Each of twenty folders has two links to the next one: a million ways to the last.
        let many = place.path().join("many");
        for at in 0..20 {
            fs::create_dir_all(many.join(at.to_string())).unwrap();
            let next = many.join((at + 1).to_string());
            for name in ["a", "b"] {
                symlink(&next, many.join(format!("{at}/{name}"))).unwrap();
            }
        }
        fs::create_dir_all(many.join("20")).unwrap();
        let error = files_below(&DataDir::default(), &many.join("0")).unwrap_err().to_string();
        assert!(error.contains("more than 100000 folders behind links"), "{error}");
    }
}
