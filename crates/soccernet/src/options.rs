//! Options of the metrics.

use crate::{
    Error, Mode, Result, Source, Task, classes::Version, clock::LabelTime, tolerance::Tolerances,
};

/// Options of scoring. The defaults depend on the task: [`Options::of`].
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The treatment of input that the official evaluator accepts and should not.
    pub mode: Mode,
    /// The tolerances of spotting and grounding.
    pub tolerances: Tolerances,
    /// The time of labels in spotting.
    pub label_time: LabelTime,
    /// The version of labels in spotting.
    pub version: Version,
    /// The distances of localisation and calibration, in pixels.
    pub thresholds: Vec<f64>,
    /// Only these games, `league/season/game`; all of the truth if not given.
    pub games: Option<Vec<String>>,
    /// Only the images or sequences in the folder of this name.
    pub split: Option<String>,
    /// The truth's file in each game's folder, if it is not the default one.
    pub label_file: Option<String>,
    /// The submission's file in each game's folder, if it is not the default one.
    pub prediction_file: Option<String>,
}

impl Options {
    /// The default options of a task: tight tolerances and labels at whole seconds for the challenges of
    /// 2022.
    pub fn of(task: Task) -> Self {
        let is_tight = matches!(task, Task::Spotting2022 | Task::Grounding2022);
        Self {
            mode: Mode::Official,
            tolerances: if is_tight { Tolerances::Tight } else { Tolerances::Loose },
            label_time: match task {
                Task::Spotting2022 => LabelTime::GameTime,
                _ => LabelTime::PositionMs,
            },
            version: Version::V2,
            thresholds: vec![5.0, 10.0, 20.0],
            games: None,
            split: None,
            label_file: None,
            prediction_file: None,
        }
    }

    /// The games to score: those requested, or those of the truth that have this file.
    pub(crate) fn games(&self, truth: &Source, file: &str) -> Result<Vec<String>> {
        if let Some(games) = &self.games {
            return match games.is_empty() {
                true => Err(Error::file(truth.name(), "the list of games to score is empty")),
                false => Ok(games.clone()),
            };
        }
        let games: Vec<String> = truth.folders_with(file).into_iter().map(str::to_string).collect();
        match games.is_empty() {
            true => Err(Error::file(truth.name(), format!("no game folder has a file {file:?}"))),
            false => Ok(games),
        }
    }
}
