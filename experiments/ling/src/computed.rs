//! Results that are computed without training, in the form of the results of a suite.

use std::path::Path;

use anyhow::Context;
use files::write_atomic;
use lab::Answer;
use report::{Row, Runs};

/// The suite of the results and what they describe.
pub(crate) struct Origin {
    pub(crate) suite: &'static str,
    pub(crate) task: &'static str,
    pub(crate) backbone: &'static str,
    pub(crate) metric: &'static str,
}

impl Origin {
    /// The result of one method and seed.
    pub(crate) fn row(&self, method: String, seed: u64, value: f64) -> Row {
        Row {
            suite: self.suite.into(),
            task: self.task.into(),
            backbone: self.backbone.into(),
            run: format!("{method} {seed}"),
            method,
            router: "none".into(),
            seed,
            split: "test".into(),
            metric: self.metric.into(),
            value: Some(value),
            device: "flex".into(),
            revision: lab::revision().into(),
            ..Row::default()
        }
    }
}

/// Writes FOLDER/runs.csv.
pub(crate) fn write(folder: &Path, runs: &Runs) -> anyhow::Result<Answer> {
    let place = || folder.display().to_string();
    std::fs::create_dir_all(folder).with_context(place)?;
    write_atomic(&folder.join("runs.csv"), runs.to_csv().as_bytes()).with_context(place)?;
    Ok(format!("wrote {}\n", folder.display()).into())
}
