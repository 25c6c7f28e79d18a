//! The history of a search, in a file: one line of JSON for each cost and for each value, added as soon as it
//! is known. The first line identifies the search. The last member of each line, `check`, is the beginning of
//! the SHA-256 of the bytes of the line before it.
//!
//! An incomplete end, left by a kill or a power cut, is dropped when the file is opened again, and computed
//! again. Values are on the disk before the search continues from them. One process at a time holds a
//! history; others wait for it. A file that is no history is not changed: links are not followed, and nothing
//! is truncated after a first line that is not the first line of a search.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use files::sync_name;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{Member, SearchError};

/// Known costs and values; the default history is empty, and kept in memory only.
#[derive(Debug, Default)]
pub struct History {
    costs: HashMap<String, f64>,
    values: HashMap<String, Option<f64>>,
    file: Option<(PathBuf, File)>,
}

/// One line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cost: Option<f64>,
    /// `None` for a line without a value; null for a value that could not be determined.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "some_or_null")]
    value: Option<Option<f64>>,
    member: Member,
}

mod some_or_null {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "serde asks for it")]
    pub(super) fn serialize<S: Serializer>(
        value: &Option<Option<f64>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        value.flatten().serialize(to)
    }

    #[expect(clippy::option_option, reason = "a field that is not there, and null")]
    pub(super) fn deserialize<'d, D: Deserializer<'d>>(
        from: D,
    ) -> Result<Option<Option<f64>>, D::Error> {
        Option::<f64>::deserialize(from).map(Some)
    }
}

impl History {
    /// The history of the file, or a new one there. `about` identifies the search.
    ///
    /// # Errors
    /// If the file is of another search or no history, is a link or not a regular file, or cannot be read or
    /// written.
    pub fn open(path: &Path, about: &Value) -> Result<Self, SearchError> {
        Self::open_unless(path, about, &|| false)
    }

    /// The same, but waiting for another process that holds the file is stopped when `stop` returns true.
    ///
    /// # Errors
    /// As [`History::open`], and if it was stopped.
    pub fn open_unless(
        path: &Path,
        about: &Value,
        stop: &dyn Fn() -> bool,
    ) -> Result<Self, SearchError> {
        let failed = |source| SearchError::File { path: path.into(), source };
        let mut file = locked(path, stop)?;
        let bytes = read_all(&mut file).map_err(failed)?;
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let (whole, rest) = bytes.split_at(end);
        let head = about.to_string();
        if whole.is_empty() && !begins(rest, with_check(&head).as_bytes()) {
            let why = "not the history of a search; move the file away to search here".into();
            return Err(SearchError::Damaged { path: path.into(), line: 1, why });
        }
        let mut history = Self::default();
        for (at, line) in whole.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let damaged =
                |why: String| SearchError::Damaged { path: path.into(), line: at + 1, why };
            let line = std::str::from_utf8(line).map_err(|err| damaged(err.to_string()))?;
            let line = checked(line.trim_end_matches('\n')).map_err(damaged)?;
            let line = line.as_str();
            match at {
                0 => same(path, about, line).map_err(|err| err.unwrap_or_else(damaged))?,
                _ => history
                    .learn(serde_json::from_str(line).map_err(|err| damaged(err.to_string()))?),
            }
        }
        file.set_len(whole.len() as u64).map_err(failed)?;
        let is_new = whole.is_empty();
        history.file = Some((path.into(), file));
        if is_new {
            history.write(&head)?;
            history.sync()?;
            sync_name(path).map_err(failed)?;
        }
        Ok(history)
    }

    fn learn(&mut self, line: Line) {
        let key = line.member.key();
        if let Some(cost) = line.cost {
            self.costs.insert(key.clone(), cost);
        }
        if let Some(value) = line.value {
            self.values.insert(key, value);
        }
    }

    /// The cost of a member, if it is known.
    pub(crate) fn cost(&self, member: &Member) -> Option<f64> {
        self.costs.get(&member.key()).copied()
    }

    /// The value of a member, if it is known.
    #[expect(clippy::option_option, reason = "not known, and known to have none")]
    pub(crate) fn value(&self, member: &Member) -> Option<Option<f64>> {
        self.values.get(&member.key()).copied()
    }

    /// Records the cost of a member.
    pub(crate) fn note_cost(&mut self, member: &Member, cost: f64) -> Result<(), SearchError> {
        self.note(Line { cost: Some(cost), value: None, member: member.clone() })
    }

    /// Records the value of a member.
    pub(crate) fn note_value(
        &mut self,
        member: &Member,
        value: Option<f64>,
    ) -> Result<(), SearchError> {
        self.note(Line { cost: None, value: Some(value), member: member.clone() })
    }

    fn note(&mut self, line: Line) -> Result<(), SearchError> {
        let text =
            serde_json::to_string(&line).map_err(|err| SearchError::Evaluation(err.into()))?;
        self.learn(line);
        self.write(&text)
    }

    fn write(&mut self, line: &str) -> Result<(), SearchError> {
        let Some((path, file)) = &mut self.file else { return Ok(()) };
        // One call, so that a kill leaves at most one incomplete line.
        let written = file.write_all(with_check(line).as_bytes());
        written.map_err(|source| SearchError::File { path: path.clone(), source })
    }

    /// Returns when all lines are on the disk.
    pub(crate) fn sync(&self) -> Result<(), SearchError> {
        let Some((path, file)) = &self.file else { return Ok(()) };
        file.sync_data().map_err(|source| SearchError::File { path: path.clone(), source })
    }
}

/// The time between two attempts of a waiting process.
const WAIT: Duration = Duration::from_millis(100);
/// The maximum size of a history in bytes: a million lines of 1 KiB.
const MOST: u64 = 1 << 30;

/// The file at a path, made if there is none, and locked against other processes.
fn locked(path: &Path, stop: &dyn Fn() -> bool) -> Result<File, SearchError> {
    let failed = |source| SearchError::File { path: path.into(), source };
    loop {
        let file = opened(path).map_err(failed)?;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if stop() => {
                    return Err(SearchError::Stopped { path: path.into() });
                }
                Err(TryLockError::WouldBlock) => thread::sleep(WAIT),
                Err(TryLockError::Error(err)) => return Err(failed(err)),
            }
        }
        // The previous holder may have removed it.
        if fs::symlink_metadata(path).is_ok_and(|facts| is_of(&facts, &file)) {
            return Ok(file);
        }
    }
}

/// Opens a regular file to read it and append to it. A link is not followed, and its target is not made.
fn opened(path: &Path) -> io::Result<File> {
    let is_no_file =
        || io::Error::new(io::ErrorKind::InvalidInput, "not a regular file, so nothing is written");
    let mut options = OpenOptions::new();
    options.read(true).append(true);
    match fs::symlink_metadata(path) {
        Ok(facts) if !facts.is_file() => return Err(is_no_file()),
        Ok(_) => {}
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            // This fails if there is a link, and if another process has made the file meanwhile.
            match options.create_new(true).open(path) {
                Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made,
            }
            options.create_new(false);
        }
        Err(err) => return Err(err),
    }
    let file = options.open(path)?;
    // Another file may have taken its place in between.
    match is_of(&fs::symlink_metadata(path)?, &file) {
        true => Ok(file),
        false => Err(is_no_file()),
    }
}

/// Whether these metadata are those of the open regular file.
fn is_of(facts: &fs::Metadata, file: &File) -> bool {
    #[cfg(unix)]
    let same = |open: &fs::Metadata| {
        use std::os::unix::fs::MetadataExt;
        (facts.dev(), facts.ino()) == (open.dev(), open.ino())
    };
    #[cfg(not(unix))]
    let same = |open: &fs::Metadata| open.is_file();
    facts.is_file() && file.metadata().is_ok_and(|open| same(&open))
}

fn read_all(file: &mut File) -> io::Result<Vec<u8>> {
    let size = file.metadata()?.len();
    if size > MOST {
        let why = format!("{size} bytes; the history of a search has at most {MOST}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether a file that ends within its first line is what a kill or a power cut leaves of this line: its
/// beginning, followed by zeros if the disk has the file's length but not its content.
fn begins(found: &[u8], line: &[u8]) -> bool {
    let written = found.iter().rposition(|byte| *byte != 0).map_or(0, |end| end + 1);
    found.len() <= line.len() && line.starts_with(&found[..written])
}

/// The text before and after the digits at the end of a line.
const CHECK: [&str; 2] = [",\"check\":\"", "\"}"];

/// A line of the file: an object, which is not empty, with its check.
fn with_check(object: &str) -> String {
    let object = object.strip_suffix('}').unwrap_or(object);
    format!("{object}{}{}{}\n", CHECK[0], digits(object), CHECK[1])
}

/// The object of a line, without its check.
fn checked(line: &str) -> Result<String, String> {
    let parts = || line.strip_suffix(CHECK[1])?.rsplit_once(CHECK[0]);
    match parts() {
        Some((object, found)) if found == digits(object) => Ok(format!("{object}}}")),
        _ => Err("its check is wrong; remove the file to search again".into()),
    }
}

fn digits(text: &str) -> String {
    Sha256::digest(text)[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the first line of the file is the expected one; none if it is damaged.
fn same(path: &Path, about: &Value, line: &str) -> Result<(), Result<SearchError, String>> {
    let found: Value = serde_json::from_str(line).map_err(|err| Err(err.to_string()))?;
    if found == *about {
        return Ok(());
    }
    let keys = about.as_object().into_iter().flatten().map(|(key, _)| key);
    let what = keys.filter(|key| found[key.as_str()] != about[key.as_str()]).cloned();
    let what = what.collect::<Vec<_>>().join(", ");
    Err(Ok(SearchError::OtherHistory { path: path.into(), what }))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use serde_json::json;

    use super::*;

    fn about() -> Value {
        json!({ "seed": 7, "space": "äöü" })
    }

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        (folder, path)
    }

    /// A history with one value, and its file.
    fn noted(path: &Path) -> Vec<u8> {
        let mut history = History::open(path, &about()).unwrap();
        let member = Member([("name".to_string(), json!("ü"))].into_iter().collect());
        history.note_value(&member, Some(0.5)).unwrap();
        fs::read(path).unwrap()
    }

    #[test]
    fn a_file_that_is_no_history_keeps_every_byte() {
        let (_folder, path) = place();
        let whole = noted(&path);
        let head = whole.split_inclusive(|byte| *byte == b'\n').next().unwrap();
        let longer = [&head[..head.len() - 1], b"x"].concat();
        for text in [&b"a key without a newline"[..], b"\n", b"x\nrest", b"{\"seed\":8", &longer] {
            fs::write(&path, text).unwrap();
            let err = History::open(&path, &about()).unwrap_err().to_string();
            assert!(err.contains("a.jsonl:1: "), "{err}");
            assert_eq!(fs::read(&path).unwrap(), text);
        }
        let long = vec![0; head.len() + 1];
        fs::write(&path, &long).unwrap();
        let err = History::open(&path, &about()).unwrap_err().to_string();
        assert!(err.ends_with(
            "a.jsonl:1: not the history of a search; move the file away to search here"
        ));
        assert_eq!(fs::read(&path).unwrap(), long);
    }

    #[test]
    fn what_a_cut_leaves_is_written_again() {
        let (_folder, path) = place();
        let whole = noted(&path);
        let head = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        // Cuts within a letter of several bytes are included.
        for cut in 0..=whole.len() {
            for zeros in [0, 3] {
                let kept = [&whole[..cut], &vec![0; zeros]].concat();
                if zeros > 0 && (cut + zeros > head || cut == head) {
                    continue;
                }
                fs::write(&path, kept).unwrap();
                drop(History::open(&path, &about()).unwrap());
                let expected = if cut == whole.len() { &whole[..] } else { &whole[..head] };
                assert_eq!(fs::read(&path).unwrap(), expected, "cut at {cut}, {zeros} zeros");
            }
        }
    }

    #[test]
    fn a_process_that_waits_can_be_stopped() {
        let (_folder, path) = place();
        let first = History::open(&path, &about()).unwrap();
        let asked = Cell::new(0);
        let stop = || asked.replace(asked.get() + 1) == 2;
        let err = History::open_unless(&path, &about(), &stop).unwrap_err();
        assert_eq!(asked.get(), 3);
        assert!(err.to_string().starts_with("stopped while another process uses "), "{err}");
        drop(first);
        History::open_unless(&path, &about(), &|| true).unwrap();
    }

    #[test]
    #[cfg(unix)]
    fn links_and_pipes_are_refused() {
        let (folder, path) = place();
        let target = folder.path().join("key");
        std::os::unix::fs::symlink(&target, &path).unwrap();
        let refused = || {
            let err = History::open(&path, &about()).unwrap_err().to_string();
            assert!(err.ends_with("a.jsonl: not a regular file, so nothing is written"), "{err}");
        };
        refused();
        assert!(!target.exists(), "no target is made");
        fs::write(&target, "a key").unwrap();
        refused();
        assert_eq!(fs::read(&target).unwrap(), b"a key");
        fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        refused();
    }

    #[test]
    #[cfg(unix)]
    fn a_file_that_was_removed_meanwhile_is_made_anew() {
        let (_folder, path) = place();
        let first = Cell::new(Some(History::open(&path, &about()).unwrap()));
        let stop = || {
            fs::remove_file(&path).unwrap();
            drop(first.take());
            false
        };
        drop(History::open_unless(&path, &about(), &stop).unwrap());
        assert!(path.exists());
    }
}
