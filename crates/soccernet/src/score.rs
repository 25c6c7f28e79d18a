//! One function for all tasks.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::{
    Error, Judge, Options, Result, Source, Task,
    metric::{
        boundary::{self, Boundary},
        calibration::{self, Calibration},
        grounding::{self, Grounding},
        localization::{self, Localization},
        reidentification::{self, Reidentification},
        segmentation::{self, Segmentation},
        spotting::{self, Spotting},
    },
    tracking::{self, Tracking},
};

/// The measures of a task.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Measured {
    /// Action spotting.
    Spotting(Spotting),
    /// Camera-shot segmentation.
    Segmentation(Segmentation),
    /// Shot boundaries.
    Boundary(Boundary),
    /// Replay grounding.
    Grounding(Grounding),
    /// Pitch localisation, by distance.
    Localization(Vec<Localization>),
    /// Camera calibration, by distance.
    Calibration(Vec<Calibration>),
    /// Re-identification.
    Reidentification(Reidentification),
    /// Tracking.
    Tracking(Box<Tracking>),
}

/// A score with notes on its input.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// The task's name.
    pub task: &'static str,
    /// `official` or `strict`.
    pub mode: &'static str,
    /// The measures.
    pub result: Measured,
    /// Notes on input that the official evaluator accepts and should not.
    pub notes: Vec<String>,
}

/// The maximum number of notes in the text.
const SHOWN: usize = 10;

impl Score {
    /// The score as JSON.
    pub fn json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// The score as lines of name and value; the first notes follow.
    pub fn text(&self) -> String {
        let value = self.json();
        let mut lines = Vec::new();
        flatten("", &value["result"], &mut lines);
        let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        let mut text = format!("{} ({})\n", self.task, self.mode);
        for (name, value) in lines {
            text += &format!("{name:width$}  {value}\n");
        }
        for note in self.notes.iter().take(SHOWN) {
            text += &format!("note: {note}\n");
        }
        match self.notes.len().saturating_sub(SHOWN) {
            0 => text,
            more => format!("{text}note: {more} more notes\n"),
        }
    }
}

/// The leaves of a value with their paths; numbers have six digits.
fn flatten(path: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    let below = |key: &str| if path.is_empty() { key.to_string() } else { format!("{path}.{key}") };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(k, v)| flatten(&below(k), v, lines)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, v)| flatten(&below(&i.to_string()), v, lines));
        }
        Value::Number(number) if number.is_f64() => {
            lines.push((path.into(), format!("{:.6}", number.as_f64().unwrap_or_default())));
        }
        Value::String(text) => lines.push((path.into(), text.clone())),
        Value::Null => lines.push((path.into(), "-".into())),
        other => lines.push((path.into(), other.to_string())),
    }
}

/// Scores a submission.
///
/// # Errors
///
/// Names the file and the entry that is invalid or, if strict, odd; also if the official evaluator fails.
pub fn score(task: Task, truth: &Source, prediction: &Source, options: &Options) -> Result<Score> {
    let mut judge = Judge::new(options.mode);
    let j = &mut judge;
    let result = match task {
        Task::Spotting | Task::Spotting2022 => {
            spotting::score(truth, prediction, options, j).map(Measured::Spotting)
        }
        Task::Segmentation => {
            segmentation::score(truth, prediction, options, j).map(Measured::Segmentation)
        }
        Task::Boundary => boundary::score(truth, prediction, options, j).map(Measured::Boundary),
        Task::Grounding | Task::Grounding2022 => {
            grounding::score(truth, prediction, options, j).map(Measured::Grounding)
        }
        Task::Localization2022 => {
            localization::score(truth, prediction, options, j).map(Measured::Localization)
        }
        Task::Calibration2022 => {
            calibration::score(truth, prediction, options, j).map(Measured::Calibration)
        }
        Task::Reidentification2022 => {
            reidentification::score(truth, prediction, j).map(Measured::Reidentification)
        }
        Task::Tracking2022 => {
            let tracking = tracking::score(truth, prediction, options, j);
            tracking.map(|tracking| Measured::Tracking(Box::new(tracking)))
        }
    }?;
    let notes = judge.notes().iter().map(Error::to_string).collect();
    Ok(Score { task: task.name(), mode: options.mode.name(), result, notes })
}

/// Scores a submission in a folder, an archive or a file.
///
/// # Errors
///
/// As [`score`], and if a path cannot be read.
pub fn score_paths(
    task: Task,
    truth: &Path,
    prediction: &Path,
    options: &Options,
) -> Result<Score> {
    score(task, &Source::open(truth)?, &Source::open(prediction)?, options)
}
