//! Files in a folder of runs. Symbolic links are not followed, so that a folder of runs cannot refer to files
//! outside of itself.

use std::{fs, io, path::Path};

use anyhow::{Context, bail};

/// The content of a regular file; none if the path does not exist.
pub(super) fn read(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match is_file(path)? {
        true => fs::read(path).map(Some).with_context(|| path.display().to_string()),
        false => Ok(None),
    }
}

/// Whether a regular file exists at this path.
///
/// # Errors
/// If the path is something else, for example a link.
pub(super) fn is_file(path: &Path) -> anyhow::Result<bool> {
    match kind(path)? {
        Some(kind) if !kind.is_file() => {
            bail!("{} is {}, not a regular file; remove it", path.display(), words(kind))
        }
        kind => Ok(kind.is_some()),
    }
}

/// Whether a folder exists at this path.
///
/// # Errors
/// If the path is something else, for example a link.
pub(crate) fn is_folder(path: &Path) -> anyhow::Result<bool> {
    match kind(path)? {
        Some(kind) if !kind.is_dir() => {
            bail!("{} is {}, not a folder; remove it", path.display(), words(kind))
        }
        kind => Ok(kind.is_some()),
    }
}

fn kind(path: &Path) -> anyhow::Result<Option<fs::FileType>> {
    match fs::symlink_metadata(path) {
        Ok(facts) => Ok(Some(facts.file_type())),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err).with_context(|| path.display().to_string()),
    }
}

fn words(kind: fs::FileType) -> &'static str {
    match (kind.is_symlink(), kind.is_dir(), kind.is_file()) {
        (true, ..) => "a link",
        (_, true, _) => "a folder",
        (.., true) => "a file",
        _ => "a device or pipe",
    }
}

/// The files of a folder and its subfolders, by their relative paths with `/`, in order.
pub(super) fn names(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut waiting = vec![String::new()];
    while let Some(inner) = waiting.pop() {
        let place = folder.join(&inner);
        for entry in fs::read_dir(&place).with_context(|| place.display().to_string())? {
            let entry = entry.with_context(|| place.display().to_string())?;
            let name = format!("{inner}{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type().with_context(|| place.display().to_string())?;
            match kind.is_dir() {
                true => waiting.push(format!("{name}/")),
                false if is_file(&entry.path())? => names.push(name),
                false => {}
            }
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_have_names() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("b/c")).unwrap();
        for name in ["b/c/d", "b/e", "a"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        assert_eq!(names(folder.path()).unwrap(), ["a", "b/c/d", "b/e"]);
        assert_eq!(read(&folder.path().join("b/e")).unwrap().unwrap(), b"b/e");
        assert_eq!(read(&folder.path().join("x")).unwrap(), None);
        assert!(read(&folder.path().join("b")).is_err());
    }

    #[test]
    #[cfg(unix)]
    fn links_are_not_followed() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("real")).unwrap();
        fs::write(path("real/a"), "secret").unwrap();
        symlink(path("real/a"), path("link")).unwrap();
        symlink(path("real"), path("folder")).unwrap();
        let err = read(&path("link")).unwrap_err().to_string();
        assert!(err.contains("is a link"), "{err}");
        let err = is_folder(&path("folder")).unwrap_err().to_string();
        assert!(err.contains("is a link"), "{err}");
        assert!(names(folder.path()).is_err());
        assert!(read(Path::new("/dev/null")).unwrap_err().to_string().contains("device or pipe"));
    }
}
