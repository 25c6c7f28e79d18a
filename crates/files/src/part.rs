//! Files that are being written, under temporary names beside their final paths, and their removal when the
//! process ends.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::{self, File},
    io, mem,
    path::{Path, PathBuf},
    process,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// The temporary names under which this process is writing.
static PARTS: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// The number of attempts to remove a folder into which another thread may write.
const TRIES: usize = 10;

fn parts() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    PARTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file or a folder that is being written.
pub(crate) struct Part {
    pub(crate) path: PathBuf,
}

impl Part {
    /// A new file beside a path.
    pub(crate) fn file(path: &Path) -> io::Result<(Self, File)> {
        let (mut parts, path) = (parts(), part_of(path));
        let file = File::create_new(&path)?;
        parts.insert(path.clone());
        Ok((Self { path }, file))
    }

    /// A new folder beside a path.
    pub(crate) fn folder(path: &Path) -> io::Result<Self> {
        let (mut parts, path) = (parts(), part_of(path));
        fs::create_dir(&path)?;
        parts.insert(path.clone());
        Ok(Self { path })
    }

    /// Moves the file or folder to its final path. If that fails, or `written` is an error, nothing is left.
    pub(crate) fn moved<E: From<io::Error>>(
        self,
        written: Result<(), E>,
        place: &Path,
    ) -> Result<(), E> {
        let moved = written.and_then(|()| Ok(fs::rename(&self.path, place)?));
        if moved.is_err() {
            remove(&self.path); // nothing half-written remains; the error is the one to report
        }
        moved
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        parts().remove(&self.path);
    }
}

/// A temporary file beside a path, which is removed when this is dropped.
pub struct Scratch {
    /// Its path, which no other thread or process takes.
    pub path: PathBuf,
}

impl Scratch {
    /// A temporary file beside this path; the file is not made yet.
    pub fn beside(path: &Path) -> Self {
        let path = part_of(path);
        parts().insert(path.clone());
        Self { path }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path); // the file may not have been made
        parts().remove(&self.path);
    }
}

/// Removes what this process has half-written, and prevents further writes: for a process that is about to
/// end, by a signal.
pub fn abandon_parts() {
    let parts = parts();
    parts.iter().for_each(|part| remove(part));
    mem::forget(parts); // no other thread can lock it again
}

/// Removes a file or a folder, ignoring errors.
fn remove(part: &Path) {
    let _ = match part.is_dir() {
        true => (0..TRIES).find_map(|_| fs::remove_dir_all(part).ok()),
        false => fs::remove_file(part).ok(),
    };
}

/// A name beside the file that no other thread or process uses, so that two writers of one file do not
/// collide.
fn part_of(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut name = OsString::from(path);
    name.push(format!(".{}-{}.part", process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    name.into()
}

/// Removes what killed writers of a file, or of all files of a folder if none is named, have left beside it.
/// It may be called only if nobody writes there now: by the holder of a lock.
pub fn remove_parts(folder: &Path, of: Option<&str>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if is_part(&entry.file_name().to_string_lossy(), of) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Whether this is the name of a file that was being written, for a certain final name or for any.
fn is_part(name: &str, of: Option<&str>) -> bool {
    let Some(name) = name.strip_suffix(".part") else { return false };
    let number = |of| name.strip_prefix(of)?.strip_prefix('.');
    of.is_none_or(|of| name == of || number(of).is_some_and(|number| !number.contains('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_one_file_or_of_all_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["s.csv.1-2.part", "s.csv.part", "s.csv.x.csv.1-2.part", "t.1-0.part", "s.csv"];
        names.iter().for_each(|name| fs::write(folder.path().join(name), "").unwrap());
        let left = || {
            let entries = fs::read_dir(folder.path()).unwrap().flatten();
            let mut names: Vec<_> =
                entries.map(|entry| entry.file_name().to_string_lossy().to_string()).collect();
            names.sort();
            names
        };
        remove_parts(folder.path(), Some("s.csv")).unwrap();
        assert_eq!(left(), ["s.csv", "s.csv.x.csv.1-2.part", "t.1-0.part"]);
        remove_parts(folder.path(), None).unwrap();
        assert_eq!(left(), ["s.csv"]);
    }

    #[test]
    fn what_is_being_written_is_known_until_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let known = |path: &Path| parts().contains(path);
        let (part, _file) = Part::file(&folder.path().join("a")).unwrap();
        let (file, inside) = (part.path.clone(), Part::folder(&folder.path().join("b")).unwrap());
        fs::write(inside.path.join("c"), "").unwrap();
        assert!(known(&file) && known(&inside.path));
        part.moved(Ok::<_, io::Error>(()), &folder.path().join("a")).unwrap();
        assert!(!known(&file) && folder.path().join("a").is_file());
        remove(&inside.path);
        assert!(!inside.path.exists());
        let scratch = Scratch::beside(&folder.path().join("d"));
        let path = scratch.path.clone();
        fs::write(&path, "").unwrap();
        assert!(known(&path));
        drop(scratch);
        assert!(!known(&path) && !path.exists());
    }
}
