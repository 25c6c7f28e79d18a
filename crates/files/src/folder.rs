//! Folders that exist as a whole, or not at all.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use crate::{
    atomic::{folder_of, sync_folder},
    part::Part,
};

/// Lets `write` fill a folder beside its final path, and moves it there. When this returns, the folder and
/// all files in it are on the disk; if it fails, nothing is left.
///
/// # Errors
/// If the path already exists, if the writer fails, or the system refuses.
pub fn write_folder<E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let path = path.components().as_path(); // without a slash at its end
    if fs::symlink_metadata(path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it already exists").into());
    }
    let part = Part::folder(path)?;
    let written = write(&part.path).and_then(|()| Ok(sync_all(&part.path)?));
    part.moved(written, path).and_then(|()| Ok(sync_folder(folder_of(path))?))
}

/// Syncs a folder and everything in it to the disk.
fn sync_all(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => sync_all(&path)?,
            false => File::open(&path)?.sync_all()?,
        }
    }
    sync_folder(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_there_as_a_whole_or_not_at_all() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("model");
        let half = |part: &Path| {
            fs::write(part.join("a"), "1")?;
            Err(io::Error::other("no more"))
        };
        assert_eq!(write_folder(&path, half).unwrap_err().to_string(), "no more");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
        let whole = |part: &Path| {
            fs::create_dir(part.join("b"))?;
            fs::write(part.join("b/a"), "1")
        };
        write_folder(&path, whole).unwrap();
        assert_eq!(fs::read_to_string(path.join("b/a")).unwrap(), "1");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
        let twice = write_folder(&path, |_| Ok::<_, io::Error>(())).unwrap_err();
        assert_eq!(twice.to_string(), "it already exists");
        assert!(write_folder(&place.path().join("no/model"), whole).is_err());
        write_folder(&place.path().join("slash/"), whole).unwrap();
        assert!(place.path().join("slash/b/a").is_file());
    }
}
