//! Files that exist as a whole, or not at all: after a kill, a full disk, or a power cut.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use crate::part::Part;

/// Writes a file beside its final path and moves it there. A reader finds either the old or the new content,
/// at whatever moment the writer is killed or the power is cut. When the function returns, the new content is
/// on the disk. A file that is replaced keeps its permissions.
///
/// # Errors
/// If the path exists and is not a regular file, for example a link, or if it cannot be written.
pub fn write_atomic(path: &Path, content: &[u8]) -> io::Result<()> {
    write_atomic_with(path, |file| file.write_all(content))
}

/// The same for the output of `write`, part by part, so that the content need not be in memory as a whole.
///
/// # Errors
/// As [`write_atomic`], and those of `write`.
pub fn write_atomic_with(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    replace(path, write)?;
    sync_name(path)
}

/// The same without the name: when it returns the content is on the disk, and its folder still has to be
/// synced.
pub(crate) fn replace(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let permissions = permissions_of(path)?;
    let (part, mut file) = Part::file(path)?;
    let permitted = permissions.map_or(Ok(()), |permissions| file.set_permissions(permissions));
    let written = permitted.and_then(|()| write(&mut file)).and_then(|()| file.sync_all());
    drop(file);
    part.moved(written, path)
}

/// The permissions of the file that is replaced, if there is one.
fn permissions_of(path: &Path) -> io::Result<Option<fs::Permissions>> {
    match fs::symlink_metadata(path) {
        Ok(facts) if facts.is_file() => Ok(Some(facts.permissions())),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "exists and is not a regular file, so it is not replaced",
        )),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}

/// Makes a folder and those above it, and syncs the folders that contain them.
pub fn create_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = folder_of(path);
    create_folder(above)?;
    match fs::create_dir(path) {
        Err(err) if err.kind() != io::ErrorKind::AlreadyExists => Err(err),
        Err(err) if !path.is_dir() => {
            Err(io::Error::new(err.kind(), "it already exists and is not a folder"))
        }
        _ => sync_folder(above),
    }
}

/// Syncs the name of a new file to the disk; without it the file can be lost in a power cut.
///
/// # Errors
/// If the system refuses.
pub fn sync_name(path: &Path) -> io::Result<()> {
    sync_folder(folder_of(path))
}

pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Syncs the names of a folder to the disk; without it a moved file can be lost in a power cut.
#[cfg(unix)]
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // Some file systems cannot sync folders, and some folders may be written but not read.
        Err(err)
            if matches!(
                err.kind(),
                io::ErrorKind::InvalidInput
                    | io::ErrorKind::Unsupported
                    | io::ErrorKind::PermissionDenied
            ) =>
        {
            Ok(())
        }
        synced => synced,
    }
}

/// On other systems folders cannot be opened.
#[cfg(not(unix))]
pub(crate) fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_content_replaces_the_old_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_atomic(&path, b"old").unwrap();
        write_atomic(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write_atomic(&folder.path().join("no/b.txt"), b"x").is_err());
    }

    #[test]
    fn many_writers_of_one_file_do_not_meet() {
        let folder = tempfile::tempdir().unwrap();
        let path = &folder.path().join("a.txt");
        std::thread::scope(|scope| {
            for writer in 0..8_u8 {
                scope.spawn(move || {
                    (0..20).for_each(|_| write_atomic(path, &[writer; 999]).unwrap());
                });
            }
        });
        let last = fs::read(path).unwrap();
        assert!(last.len() == 999 && last.iter().all(|byte| *byte == last[0]), "one of them");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    #[cfg(unix)]
    fn links_are_not_followed_and_permissions_stay() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let [path, link] = ["a.txt", "link"].map(|name| folder.path().join(name));
        write_atomic(&path, b"old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        write_atomic(&path, b"new").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        symlink(&path, &link).unwrap();
        for other in [link.as_path(), folder.path(), Path::new("/dev/null")] {
            let err = write_atomic(other, b"x").unwrap_err();
            assert!(err.to_string().contains("not a regular file"), "{err}");
        }
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn folders_are_made_with_those_above() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c");
        create_folder(&path).unwrap();
        create_folder(&path).unwrap();
        assert!(path.is_dir());
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(create_folder(&folder.path().join("file/x")).is_err());
        let err = create_folder(&folder.path().join("file")).unwrap_err().to_string();
        assert_eq!(err, "it already exists and is not a folder");
    }
}
