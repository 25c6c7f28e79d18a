//! Small submissions in memory.

use std::collections::BTreeMap;

use serde_json::Value;
use soccernet::{Options, Result, Source, Task, score};

/// Files by name.
pub(crate) type Files = Vec<(String, Vec<u8>)>;

/// A source of text files.
pub(crate) fn texts(files: &[(&str, &str)]) -> Files {
    files.iter().map(|(name, text)| (name.to_string(), text.as_bytes().to_vec())).collect()
}

pub(crate) fn source(name: &str, files: &Files) -> Source {
    Source::memory(name, files.iter().cloned().collect::<BTreeMap<_, _>>())
}

/// The measures of a submission.
pub(crate) fn measure(
    task: Task,
    truth: &Files,
    prediction: &Files,
    change: impl Fn(&mut Options),
) -> Result<Value> {
    let mut options = Options::of(task);
    change(&mut options);
    let score = score(task, &source("truth", truth), &source("mine", prediction), &options)?;
    Ok(score.json()["result"].clone())
}
