//! The history of a search, in a file: one line of JSON for each cost and for each value, added as soon
//! as it is known. The first line says of which search. The last member of each line, `check`, is the
//! beginning of the SHA-256 of the bytes of the line before it.
//!
//! What a kill or a power cut takes away at the end is dropped when the file is opened again, and found out
//! again. One process at a time has a history; others wait for it.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{Member, SearchError};

/// Costs and values that are known.
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
    /// None is no value; null one that could not be found out.
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
    /// One that is kept in memory only.
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// That of the file, or a new one there. `about` says of which search it is.
    ///
    /// # Errors
    /// If the file is of another search, or cannot be read or written.
    pub fn open(path: &Path, about: &Value) -> Result<Self, SearchError> {
        let failed = |source| SearchError::File { path: path.into(), source };
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
        file.lock().map_err(failed)?;
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        let mut history = Self::default();
        for (at, line) in whole.lines().enumerate() {
            let damaged =
                |why: String| SearchError::Damaged { path: path.into(), line: at + 1, why };
            let line = checked(line).map_err(damaged)?;
            let line = line.as_str();
            match at {
                0 => same(path, about, line).map_err(|err| err.unwrap_or_else(damaged))?,
                _ => history
                    .learn(serde_json::from_str(line).map_err(|err| damaged(err.to_string()))?),
            }
        }
        file.set_len(whole.len() as u64).map_err(failed)?;
        history.file = Some((path.into(), file));
        if whole.is_empty() {
            history.write(&about.to_string())?;
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

    /// Notes the cost of a member.
    pub(crate) fn note_cost(&mut self, member: &Member, cost: f64) -> Result<(), SearchError> {
        self.note(Line { cost: Some(cost), value: None, member: member.clone() })
    }

    /// Notes the value of a member.
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
        // One call, so that a kill leaves at most one line in part.
        let written = file.write_all(with_check(line).as_bytes());
        written.map_err(|source| SearchError::File { path: path.clone(), source })
    }
}

/// What is before and after the digits at the end of a line.
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

/// Is the first line of the file what it should be? None within is a line that is damaged.
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
