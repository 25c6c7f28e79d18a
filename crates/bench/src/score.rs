//! `score`: evaluates a submission to SoccerNet with the official metrics.

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use clap::{
    Args,
    builder::{PossibleValue, PossibleValuesParser},
};
use files::read_regular;
use lab::{Answer, JsonArgs, Session, Verb};
use soccernet::{
    Mode, Options, Source, Task, check_submission, classes::Version, clock::LabelTime,
    format::games, score, tolerance::Tolerances,
};

/// Which task, which files, and what differs from the task's usual options.
#[derive(Args)]
pub(crate) struct Score {
    /// The task; names with 2022 are the challenges of 2022 with their tolerances
    #[arg(value_parser = tasks())]
    task: String,
    /// The ground truth: a folder, a zip archive or a file; without it the files of the submission are checked
    /// alone, as strictly as they can be
    #[arg(long, value_name = "PATH")]
    truth: Option<PathBuf>,
    /// The submission: a folder, a zip archive or a file
    #[arg(long, value_name = "PATH")]
    prediction: PathBuf,
    /// Treatment of faulty input that the official evaluator accepts: official gives its
    /// number with notes, strict refuses
    #[arg(long, default_value = "official", value_parser = PossibleValuesParser::new(Mode::NAMES))]
    mode: String,
    /// Tolerances of spotting and grounding: loose (5 to 60 s), tight (1 to 5 s), or a single one
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(Tolerances::NAMES))]
    tolerances: Option<String>,
    /// Times of spotting: the labels' milliseconds, or whole seconds as in 2022
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(LabelTime::NAMES))]
    label_time: Option<String>,
    /// Spotting with the labels of version 1, with three classes
    #[arg(long)]
    labels_v1: bool,
    /// Tolerances of localisation and calibration in pixels; default: 5,10,20
    #[arg(long, value_name = "PIXELS", value_delimiter = ',')]
    threshold: Vec<f64>,
    /// Only the games of this list, {league: {season: [game, ...]}}
    #[arg(long, value_name = "FILE")]
    games: Option<PathBuf>,
    /// Only images or sequences in folders of this name
    #[arg(long, value_name = "NAME")]
    split: Option<String>,
    /// File name of the ground truth of a game; default: that of the data set
    #[arg(long, value_name = "NAME")]
    label_file: Option<String>,
    /// File name of the submission for a game; default: that of the challenge
    #[arg(long, value_name = "NAME")]
    prediction_file: Option<String>,
    #[command(flatten)]
    json: JsonArgs,
}

/// The tasks with what each reads.
fn tasks() -> PossibleValuesParser {
    PossibleValuesParser::new(Task::ALL.map(|(name, _, help)| PossibleValue::new(name).help(help)))
}

impl Score {
    /// Refuses options that the task does not use.
    fn check(&self, task: Task) -> anyhow::Result<()> {
        use Task::*;
        let spotting = matches!(task, Spotting | Spotting2022);
        let grounding = matches!(task, Grounding | Grounding2022);
        let pitch = matches!(task, Localization2022 | Calibration2022);
        let games = spotting || grounding || matches!(task, Segmentation | Boundary);
        for (option, given, used) in [
            ("--tolerances", self.tolerances.is_some(), spotting || grounding),
            ("--label-time", self.label_time.is_some(), spotting),
            ("--labels-v1", self.labels_v1, spotting),
            ("--threshold", !self.threshold.is_empty(), pitch),
            ("--games", self.games.is_some(), games),
            ("--label-file", self.label_file.is_some(), games),
            ("--prediction-file", self.prediction_file.is_some(), games),
            ("--split", self.split.is_some(), pitch || task == Tracking2022),
        ] {
            ensure!(!given || used, "{option}: not used by {}", self.task);
        }
        let wrong = self.threshold.iter().find(|pixels| !(pixels.is_finite() && **pixels > 0.0));
        match wrong {
            Some(pixels) => bail!("--threshold {pixels}: must be a number above 0"),
            None => Ok(()),
        }
    }

    fn options(&self, task: Task) -> anyhow::Result<Options> {
        let mut options = Options::of(task);
        options.mode = Mode::parse(&self.mode).unwrap_or_default();
        if let Some(name) = self.tolerances.as_deref().and_then(Tolerances::parse) {
            options.tolerances = name;
        }
        if let Some(name) = self.label_time.as_deref().and_then(LabelTime::parse) {
            options.label_time = name;
        }
        if self.labels_v1 {
            options.version = Version::V1;
        }
        if !self.threshold.is_empty() {
            options.thresholds = self.threshold.clone();
        }
        if let Some(path) = &self.games {
            let shown = path.display().to_string();
            options.games =
                Some(games::read(&read_regular(path, u64::MAX).context(shown.clone())?, &shown)?);
        }
        options.split = self.split.clone();
        options.label_file = self.label_file.clone();
        options.prediction_file = self.prediction_file.clone();
        Ok(options)
    }
}

impl Score {
    /// The errors in the files of a submission to a challenge whose ground truth is not published.
    fn checked(&self, task: Task, prediction: &Source) -> anyhow::Result<Answer> {
        let checked = check_submission(task, prediction)?;
        let text = match self.json.is_json() {
            true => serde_json::to_string_pretty(&checked)? + "\n",
            false => {
                let [right, unknown] = [checked.right.len(), checked.unknown.len()];
                format!("files: {right} correct, {unknown} with unknown names\n")
            }
        };
        let wrong: Vec<String> = checked.wrong.iter().map(ToString::to_string).collect();
        let error = (!wrong.is_empty()).then(|| anyhow::Error::msg(wrong.join("\n")));
        let code = if error.is_some() { 2 } else { 0 };
        Ok(Answer { text, error, code })
    }
}

impl Verb for Score {
    const NAME: &'static str = "score";
    const ABOUT: &'static str = "Evaluate a submission to SoccerNet with the official metrics";

    fn run(&self, _session: &Session) -> anyhow::Result<Answer> {
        let task = Task::parse(&self.task).context("no such task")?;
        self.check(task)?;
        let options = self.options(task)?;
        let prediction = Source::open(&self.prediction)?;
        let Some(truth) = &self.truth else { return self.checked(task, &prediction) };
        let truth = Source::open(truth)?;
        let score = score(task, &truth, &prediction, &options)?;
        let json = || serde_json::to_string_pretty(&score).map(|text| text + "\n");
        Ok(if self.json.is_json() { json()? } else { score.text() }.into())
    }
}
