//! Numbers that a verb of an experiment computes or measures itself, in the form of the results of a suite.

use std::path::Path;

use anyhow::Context;
use files::write_atomic;
use report::Row;

use super::Answer;
use crate::store::revision;

/// The columns that have the same value in all rows that a verb writes.
pub struct OwnResults {
    /// The suite whose claims are about the numbers.
    pub suite: &'static str,
    /// The name in the column of the task.
    pub task: &'static str,
    /// The name in the column of the network.
    pub backbone: &'static str,
    /// The kind of router, `none` if there is none.
    pub router: &'static str,
    /// The metric.
    pub metric: &'static str,
}

impl OwnResults {
    /// The number of one method and seed, computed or measured on the processor.
    pub fn row(&self, method: impl Into<String>, seed: u64, value: f64) -> Row {
        let method = method.into();
        Row {
            suite: self.suite.into(),
            task: self.task.into(),
            backbone: self.backbone.into(),
            run: format!("{method} {seed}"),
            method,
            router: self.router.into(),
            seed,
            split: "test".into(),
            metric: self.metric.into(),
            value: Some(value),
            device: "flex".into(),
            revision: revision().into(),
            ..Row::default()
        }
    }
}

/// Writes files, each a name and a text, into a folder, which is made if it is not there. Fails with the folder
/// and the reason if it cannot be written.
pub fn save_files(folder: &Path, files: &[(&str, String)]) -> anyhow::Result<Answer> {
    let place = || folder.display().to_string();
    std::fs::create_dir_all(folder).with_context(place)?;
    for (name, text) in files {
        write_atomic(&folder.join(name), text.as_bytes()).with_context(place)?;
    }
    Ok(format!("wrote {}\n", folder.display()).into())
}

#[test]
fn a_row_is_read_back_from_a_folder_and_a_folder_that_cannot_be_made_is_named() {
    let results =
        OwnResults { suite: "s", task: "t", backbone: "b", router: "none", metric: "speed_up" };
    let runs = report::Runs::of([results.row("best", 3, 2.5)]);
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("a/b");
    save_files(&inner, &[("runs.csv", runs.to_csv()), ("note.txt", "text".into())]).unwrap();
    let csv = std::fs::read_to_string(inner.join("runs.csv")).unwrap();
    assert_eq!(csv, runs.to_csv());
    assert!(csv.lines().nth(1).unwrap().contains("best 3"), "{csv}");
    let err = save_files(&inner.join("note.txt/c"), &[]).unwrap_err();
    assert!(format!("{err:#}").contains("note.txt/c"), "{err:#}");
}
