//! Many files at once.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    panic,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use crate::atomic::{folder_of, replace, sync_folder};

/// The number of files that are written at the same time. Each write waits for the disk, which syncs several
/// files about as fast as one.
const WRITERS: usize = 16;

/// Writes each file as `write_atomic` does, several at a time, and syncs each folder once.
///
/// # Errors
/// Names the file. The files before it are written, and perhaps some after it.
pub fn write_files(files: &[(PathBuf, &[u8])]) -> io::Result<()> {
    let next = AtomicUsize::new(0);
    let write = || -> io::Result<()> {
        while let Some((path, content)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let written = replace(path, |file| file.write_all(content));
            written.map_err(|err| {
                next.store(files.len(), Ordering::Relaxed); // the other threads stop as well
                named(path, &err)
            })?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        // If the system provides no more threads, there are fewer writers.
        let more = || thread::Builder::new().spawn_scoped(scope, write).ok();
        let writers: Vec<_> = (1..WRITERS.min(files.len())).map_while(|_| more()).collect();
        let own = write();
        let others = writers
            .into_iter()
            .map(|writer| writer.join().unwrap_or_else(|panic| panic::resume_unwind(panic)));
        others.fold(own, Result::and)
    })?;
    let folders: BTreeSet<&Path> = files.iter().map(|(path, _)| folder_of(path)).collect();
    folders
        .into_iter()
        .try_for_each(|folder| sync_folder(folder).map_err(|err| named(folder, &err)))
}

/// An error that begins with the path.
fn named(path: &Path, err: &io::Error) -> io::Error {
    io::Error::new(err.kind(), format!("{}: {err}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn all_files_of_all_folders_are_written() {
        let place = tempfile::tempdir().unwrap();
        let contents: Vec<String> = (0..100).map(|at| at.to_string()).collect();
        let folders = ["a", "b"].map(|name| place.path().join(name));
        folders.iter().for_each(|folder| fs::create_dir(folder).unwrap());
        let path = |at: usize| folders[at % 2].join(at.to_string());
        let files: Vec<(PathBuf, &[u8])> =
            contents.iter().enumerate().map(|(at, text)| (path(at), text.as_bytes())).collect();
        write_files(&files).unwrap();
        for (path, content) in &files {
            assert_eq!(&fs::read(path).unwrap(), content);
        }
        let count = |folder: &PathBuf| fs::read_dir(folder).unwrap().count();
        assert_eq!(folders.each_ref().map(count), [50, 50]);
        write_files(&files[..1]).unwrap();
        write_files(&[]).unwrap();
    }

    #[test]
    fn the_file_that_cannot_be_written_is_named() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        fs::create_dir(path("7")).unwrap();
        let files: Vec<(PathBuf, &[u8])> =
            (0..40).map(|at| (path(&at.to_string()), &b"x"[..])).collect();
        let err = write_files(&files).unwrap_err().to_string();
        let reason = "exists and is not a regular file, so it is not replaced";
        assert_eq!(err, format!("{}: {reason}", path("7").display()));
        let names = fs::read_dir(place.path()).unwrap().flatten().map(|entry| entry.file_name());
        assert!(names.into_iter().all(|name| !name.to_string_lossy().ends_with(".part")));
    }
}
