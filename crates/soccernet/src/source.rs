//! Files by name, from a folder, a zip archive, a single file or memory.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use files::{create_folder, files_below, read_regular, write_atomic};

use crate::{Error, Result, zip};

/// The source of the files of a submission or of the truth. Names have `/` between folders.
#[derive(Clone, Debug)]
pub struct Source {
    name: String,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Folder(BTreeMap<String, PathBuf>),
    Zip(zip::Archive, BTreeMap<String, usize>),
    Memory(BTreeMap<String, Vec<u8>>),
}

impl Source {
    /// A folder with everything in it, a zip archive, or one file. Links to folders are followed, except
    /// links to a folder that contains them.
    ///
    /// # Errors
    ///
    /// If the path does not exist, if a folder has more than 100,000 folders behind links, or if an archive
    /// is damaged, has a file twice or one outside of it, or would have more than 4 GiB unpacked.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        if path.is_dir() {
            let fault = |(place, err): (PathBuf, std::io::Error)| {
                Error::file(place.display().to_string(), err.to_string())
            };
            let files = files_below(path).map_err(fault)?.into_iter();
            let files = files.map(|file| (name_within(path, &file), file)).collect();
            return Ok(Self { name, content: Content::Folder(files) });
        }
        let bytes =
            read_regular(path, u64::MAX).map_err(|err| Error::file(&name, err.to_string()))?;
        if zip::is_zip(&bytes)
            || path.extension().is_some_and(|end| end.eq_ignore_ascii_case("zip"))
        {
            return Self::zip(name, bytes);
        }
        let file = path.file_name().unwrap_or_default().to_string_lossy().to_string();
        Ok(Self { name, content: Content::Memory([(file, bytes)].into()) })
    }

    /// An archive in memory; `name` is for messages. Files that macOS adds, `__MACOSX/` and `.DS_Store`, are
    /// left out.
    ///
    /// # Errors
    ///
    /// As `open`.
    pub fn zip(name: impl Into<String>, archive: Vec<u8>) -> Result<Self> {
        let name = name.into();
        let mut files = BTreeMap::new();
        let archive = zip::Archive::open(archive).map_err(|err| Error::file(&name, err))?;
        let files_of = archive.files().map_err(|err| Error::file(&name, err))?;
        for (file, at) in files_of.into_iter().filter(|(file, _)| !is_of_macos(file)) {
            if file.contains('\\') {
                let problem = "the path has a backslash; folders are separated by / in an archive";
                return Err(Error::entry(&name, &file, problem));
            }
            if !is_inside(&file) {
                let problem = "the path leaves the folder; paths must be relative and without ..";
                return Err(Error::entry(&name, &file, problem));
            }
            if files.insert(file.clone(), at).is_some() {
                return Err(Error::entry(&name, file, "the archive has this file twice"));
            }
        }
        Ok(Self { name, content: Content::Zip(archive, files) })
    }

    /// Files in memory; `name` is for messages.
    pub fn memory(name: impl Into<String>, files: BTreeMap<String, Vec<u8>>) -> Self {
        Self { name: name.into(), content: Content::Memory(files) }
    }

    /// The name of the source, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The files' names, sorted.
    pub fn names(&self) -> Vec<&str> {
        match &self.content {
            Content::Folder(files) => files.keys().map(String::as_str).collect(),
            Content::Zip(_, files) => files.keys().map(String::as_str).collect(),
            Content::Memory(files) => files.keys().map(String::as_str).collect(),
        }
    }

    /// Whether a file of this name exists.
    pub fn has(&self, file: &str) -> bool {
        match &self.content {
            Content::Folder(files) => files.contains_key(file),
            Content::Zip(_, files) => files.contains_key(file),
            Content::Memory(files) => files.contains_key(file),
        }
    }

    /// A file's content.
    ///
    /// # Errors
    ///
    /// If the file does not exist (the message has the nearest name) or is damaged.
    pub fn read(&self, file: &str) -> Result<Vec<u8>> {
        let found = match &self.content {
            Content::Folder(files) => files.get(file).map(|path| {
                read_regular(path, u64::MAX)
                    .map_err(|err| Error::entry(&self.name, file, err.to_string()))
            }),
            Content::Zip(archive, files) => files
                .get(file)
                .map(|at| archive.read(*at).map_err(|err| Error::entry(&self.name, file, err))),
            Content::Memory(files) => files.get(file).map(|bytes| Ok(bytes.clone())),
        };
        found.unwrap_or_else(|| Err(self.missing(file)))
    }

    fn missing(&self, file: &str) -> Error {
        let deeper = format!("/{file}");
        let names = self.names();
        let hint = match names.iter().find(|name| name.ends_with(&deeper)) {
            Some(found) => {
                format!("the file is missing; found {found}, which is nested too deeply")
            }
            None if names.is_empty() => "the file is missing; there are no files at all".into(),
            None => {
                format!("the file is missing; a file that exists is, for example, {}", names[0])
            }
        };
        Error::entry(&self.name, file, hint)
    }

    /// The only file whose name ends with `end`.
    ///
    /// # Errors
    ///
    /// If there is none, or several.
    pub fn only(&self, end: &str) -> Result<&str> {
        let found: Vec<&str> = self.names().into_iter().filter(|n| n.ends_with(end)).collect();
        match found[..] {
            [one] => Ok(one),
            [] => Err(Error::file(&self.name, format!("no file matches *{end}"))),
            [one, two, ..] => {
                let problem = format!("found {one} and {two}; expected one file *{end}");
                Err(Error::file(&self.name, problem))
            }
        }
    }

    /// Folders that hold a file of this name, sorted; the folder itself is the empty name.
    pub fn folders_with(&self, file: &str) -> Vec<&str> {
        let length = |name: &str| name.rfind('/').unwrap_or(0);
        let end = format!("/{file}");
        let names = self.names().into_iter().filter(|name| *name == file || name.ends_with(&end));
        names.map(|name| &name[..length(name)]).collect()
    }
}

/// A file's path in a folder, which may be the empty name.
pub(crate) fn join(folder: &str, file: &str) -> String {
    if folder.is_empty() { file.to_string() } else { format!("{folder}/{file}") }
}

/// The last part of a name.
pub(crate) fn base(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, base)| base)
}

/// Whether a file of an archive is metadata that macOS adds.
fn is_of_macos(name: &str) -> bool {
    name.starts_with("__MACOSX/") || base(name) == ".DS_Store"
}

fn is_inside(name: &str) -> bool {
    let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    !name.contains('\\') && Path::new(name).components().all(inside)
}

/// The name of a file below a folder.
fn name_within(folder: &Path, file: &Path) -> String {
    let parts = file.strip_prefix(folder).unwrap_or(file).components();
    let parts: Vec<_> = parts.map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}

/// Writes files as a zip archive if the path ends in `.zip`, else as a folder.
///
/// # Errors
///
/// If a name points outside of the folder, or the system refuses.
pub fn write_files(path: &Path, files: &[(String, Vec<u8>)]) -> Result<()> {
    let shown = path.display().to_string();
    let fault = |err: std::io::Error| Error::file(&shown, err.to_string());
    if let Some((name, _)) = files.iter().find(|(name, _)| !is_inside(name)) {
        return Err(Error::entry(&shown, name, "the path leaves the folder"));
    }
    if path.extension().is_some_and(|end| end == "zip") {
        let archive = zip::write(files).map_err(|err| Error::file(&shown, err))?;
        return write_atomic(path, &archive).map_err(fault);
    }
    for (name, content) in files {
        let file = path.join(name);
        create_folder(file.parent().unwrap_or(path)).map_err(fault)?;
        write_atomic(&file, content).map_err(fault)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(unix)]
    use std::fs;

    fn files() -> Vec<(String, Vec<u8>)> {
        vec![("l/s/g/a.json".into(), b"{}".to_vec()), ("l/s/h/a.json".into(), b"[]".to_vec())]
    }

    #[test]
    fn folder_archive_and_file_read_the_same() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().join("x"), folder.path().join("x.zip")] {
            write_files(&path, &files()).unwrap();
            let source = Source::open(&path).unwrap();
            assert_eq!(source.names(), ["l/s/g/a.json", "l/s/h/a.json"]);
            assert_eq!(source.folders_with("a.json"), ["l/s/g", "l/s/h"]);
            assert_eq!(source.read("l/s/h/a.json").unwrap(), b"[]");
            assert!(source.has("l/s/g/a.json") && !source.has("a.json"));
        }
        let one = Source::open(&folder.path().join("x/l/s/g/a.json")).unwrap();
        assert_eq!((one.only(".json"), one.folders_with("a.json")), (Ok("a.json"), vec![""]));
    }

    #[test]
    #[cfg(unix)]
    fn links_are_followed_and_never_in_circles() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let [set, other] = ["set", "other"].map(|name| folder.path().join(name));
        write_files(&set, &files()).unwrap();
        write_files(&other, &files()).unwrap();
        symlink(other.join("l"), set.join("l/linked")).unwrap();
        for name in ["x", "y", "z"] {
            symlink(".", set.join(name)).unwrap();
        }
        let source = Source::open(&set).unwrap();
        let expected =
            ["l/linked/s/g/a.json", "l/linked/s/h/a.json", "l/s/g/a.json", "l/s/h/a.json"];
        assert_eq!(source.names(), expected);
        // Each of twenty folders has two links to the next one: a million ways to the last.
        let many = folder.path().join("many");
        for at in 0..20 {
            fs::create_dir_all(many.join(at.to_string())).unwrap();
            let next = many.join((at + 1).to_string());
            for name in ["a", "b"] {
                symlink(&next, many.join(format!("{at}/{name}"))).unwrap();
            }
        }
        fs::create_dir_all(many.join("20")).unwrap();
        let error = Source::open(&many.join("0")).unwrap_err().to_string();
        assert!(error.ends_with("more than 100000 folders reached through links"), "{error}");
    }

    #[test]
    fn a_file_with_the_name_of_an_archive_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty.zip");
        fs::write(&path, "").unwrap();
        let error = Source::open(&path).unwrap_err().to_string();
        assert!(error.contains("empty.zip: damaged or incomplete"), "{error}");
    }

    #[test]
    fn a_missing_file_is_named_with_what_is_there() {
        let files: BTreeMap<String, Vec<u8>> = files().into_iter().collect();
        let source = Source::memory("mine.zip", files);
        let error = |file| source.read(file).unwrap_err().to_string();
        let expected = "mine.zip: g/a.json: the file is missing; \
                        found l/s/g/a.json, which is nested too deeply";
        assert_eq!(error("g/a.json"), expected);
        assert!(error("l/b.json").ends_with("a file that exists is, for example, l/s/g/a.json"));
        assert!(source.only(".json").unwrap_err().to_string().contains("one file *.json"));
        assert!(Source::open(Path::new("no/such")).is_err());
    }

    #[test]
    fn paths_that_leave_the_folder_are_refused() {
        for name in ["../a.json", "/a.json", "a/../../b", "..\\a"] {
            let archive = zip::write(&[(name.to_string(), vec![])]).unwrap();
            let error = Source::zip("evil.zip", archive).unwrap_err();
            assert_eq!((error.file.as_str(), error.entry.as_str()), ("evil.zip", name));
            let folder = tempfile::tempdir().unwrap();
            assert!(write_files(folder.path(), &[(name.to_string(), vec![])]).is_err());
        }
        let archive = zip::write(&[("l\\g\\a.json".to_string(), vec![])]).unwrap();
        let error = Source::zip("windows.zip", archive).unwrap_err().to_string();
        assert!(error.contains("the path has a backslash"), "{error}");
    }

    #[test]
    fn what_macos_adds_to_an_archive_is_left_out() {
        let names = ["ranking.json", "__MACOSX/._ranking.json", ".DS_Store", "l/.DS_Store"];
        let archive = zip::write(&names.map(|name| (name.to_string(), vec![]))).unwrap();
        let source = Source::zip("mac.zip", archive).unwrap();
        assert_eq!(
            (source.names(), source.only(".json")),
            (vec!["ranking.json"], Ok("ranking.json"))
        );
    }
}
