//! The files below a folder, including those behind links.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The maximum number of folders that are read behind links: links to folders with links can make many
/// folders of few.
const LINKED: usize = 100_000;

/// The full paths of the files below a folder, sorted by name. Links to folders are followed, except links to
/// a folder that contains them.
///
/// # Errors
/// The folder that cannot be read, and the reason; or that there are more than 100,000 behind links.
pub fn files_below(folder: &Path) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    let mut walk = FolderWalk::default();
    walk.folder(folder, false)?;
    Ok(walk.files)
}

#[derive(Default)]
struct FolderWalk {
    files: Vec<PathBuf>,
    /// The folders that contain the current one, without links.
    above: Vec<PathBuf>,
    /// Folders behind links.
    linked: usize,
}

impl FolderWalk {
    fn folder(&mut self, folder: &Path, is_linked: bool) -> Result<(), (PathBuf, io::Error)> {
        let fault = |err| (folder.to_path_buf(), err);
        let real = folder.canonicalize().map_err(fault)?;
        if self.above.contains(&real) {
            return Ok(());
        }
        self.linked += usize::from(is_linked);
        if self.linked > LINKED {
            let message = format!("more than {LINKED} folders reached through links");
            return Err(fault(io::Error::new(io::ErrorKind::InvalidData, message)));
        }
        self.above.push(real);
        for path in entries(folder).map_err(fault)? {
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

/// The entries of a folder, sorted by name.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut paths: Vec<PathBuf> = entries.collect::<io::Result<_>>()?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::symlink;

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
            let files = files_below(folder).unwrap();
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
        let (_, error) = files_below(&many.join("0")).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("more than 100000 folders reached through links"), "{error}");
    }
}
