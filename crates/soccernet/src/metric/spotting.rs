//! Action spotting: Average-mAP.
//!
//! Deliège et al. *SoccerNet-v2*. <https://arxiv.org/abs/2011.13367>; the package SoccerNet 0.1.62.

use serde::Serialize;
use serde_json::{Map, Value};

use super::track::{Track, average_precisions, place_or};
use crate::{
    Error, Judge, Options, Result, Source,
    classes::{Version, action, action_v1},
    clock::{LabelTime, frame_of},
    format::{labels::Labels, spots::Spots},
    source::join,
    tolerance::Tolerances,
};

/// The result, named as in the official package.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spotting {
    /// `loose`, `tight` or `at1` to `at5`.
    pub metric: &'static str,
    /// Number of games.
    pub games: usize,
    /// Mean over classes and tolerances.
    #[serde(rename = "a_mAP")]
    pub average: f64,
    /// Mean over tolerances by class.
    #[serde(rename = "a_mAP_per_class")]
    pub per_class: Map<String, Value>,
    /// The mean for actions on the screen; none in version 1.
    #[serde(rename = "a_mAP_visible")]
    pub visible: Option<f64>,
    /// The same by class.
    #[serde(rename = "a_mAP_per_class_visible")]
    pub per_class_visible: Option<Map<String, Value>>,
    /// The mean for actions off the screen; none in version 1. With several tolerances it is multiplied by
    /// 17/13, since four classes have no such action in the official test set; so it can exceed 1.
    #[serde(rename = "a_mAP_unshown")]
    pub unshown: Option<f64>,
    /// The same by class, without that factor.
    #[serde(rename = "a_mAP_per_class_unshown")]
    pub per_class_unshown: Option<Map<String, Value>>,
}

/// Scores the games of the truth that have labels.
///
/// # Errors
///
/// If a game is missing, a file is invalid, or the judge refuses an entry.
pub fn score(
    truth: &Source,
    prediction: &Source,
    options: &Options,
    judge: &mut Judge,
) -> Result<Spotting> {
    let label_file = options.label_file.as_deref().unwrap_or(options.version.file());
    let file = options.prediction_file.as_deref().unwrap_or("results_spotting.json");
    let games = options.games(truth, label_file)?;
    foreign_games(prediction, file, &games, judge)?;
    let mut tracks = Vec::new();
    for game in &games {
        let labels = join(game, label_file);
        let labels = (Labels::read(&truth.read(&labels)?, &labels, judge)?, labels);
        let spots = join(game, file);
        let spots = (Spots::read(&prediction.read(&spots)?, &spots, judge)?, spots);
        other_game(&spots.0.url_local, game, &spots.1, judge)?;
        tracks.extend(game_tracks(&labels, &spots, options, judge)?);
    }
    Ok(result(&tracks, games.len(), options))
}

/// Reports games that only the submission has; they are not scored.
pub(crate) fn foreign_games(
    prediction: &Source,
    file: &str,
    games: &[String],
    judge: &mut Judge,
) -> Result<()> {
    for game in prediction.folders_with(file) {
        if !games.iter().any(|known| known == game) {
            let problem = "the truth does not have this game; it is ignored";
            judge.odd(Error::entry(prediction.name(), game, problem))?;
        }
    }
    Ok(())
}

/// Reports a file that names another game than that of its folder as odd; the official evaluators do not
/// check.
pub(crate) fn other_game(url: &str, game: &str, file: &str, judge: &mut Judge) -> Result<()> {
    let url = url.trim_matches('/');
    // The path may begin at a folder above the leagues, or at one below them.
    if url.is_empty() || url.ends_with(game) || game.ends_with(url) {
        return Ok(());
    }
    let problem = format!("{url:?}; expected the game of its folder, {game}");
    judge.odd(Error::entry(file, "UrlLocal", problem))
}

/// The tracks of a game: by half, by class.
fn game_tracks(
    (labels, labels_file): &(Labels, String),
    (spots, spots_file): &(Spots, String),
    options: &Options,
    judge: &mut Judge,
) -> Result<Vec<Vec<Track>>> {
    let classes = options.version.classes();
    let frames = options.label_time.frames();
    let mut halves = vec![vec![Track::default(); classes.len()]; 2];
    for (i, label) in labels.annotations.iter().enumerate() {
        let class = match options.version {
            Version::V1 => action_v1(&label.label),
            Version::V2 => action(&label.label),
        };
        let frame = match (options.label_time, label.position) {
            (LabelTime::PositionMs, Some(position)) => frame_of(position),
            _ => label.time.frame(),
        };
        if class.is_none() && options.version == Version::V2 {
            let problem = format!("{:?} is not a class and is ignored", label.label);
            judge.odd(Error::entry(labels_file, format!("annotations[{i}].label"), problem))?;
        }
        if let (Some(class), half @ 1..=2) = (class, label.time.half) {
            let place = place_or(frame, frames, labels_file, &format!("annotations[{i}]"))?;
            halves[half as usize - 1][class].truth.insert(place, label.visible);
        }
    }
    for (i, spot) in spots.predictions.iter().enumerate() {
        let entry = format!("predictions[{i}]");
        let class = classes.iter().position(|class| *class == spot.label);
        let Some(class) = class else {
            let problem = format!("{:?} is not a class; known: {}", spot.label, classes.join(", "));
            let error = Error::entry(spots_file, format!("{entry}.label"), problem);
            if options.version == Version::V1 {
                return Err(error);
            }
            judge.odd(error)?;
            continue;
        };
        let half @ 1..=2 = spot.half else { continue };
        let place = place_or(frame_of(spot.position), frames, spots_file, &entry)?;
        let seen = &mut halves[half as usize - 1][class].seen;
        if seen.insert(place, spot.confidence).is_some() {
            let problem = "an entry above has the same class and half second; the last one is used";
            judge.odd(Error::entry(spots_file, &entry, problem))?;
        }
    }
    Ok(halves)
}

fn result(tracks: &[Vec<Track>], games: usize, options: &Options) -> Spotting {
    let classes = options.version.classes();
    let tolerances = options.tolerances.seconds();
    // By tolerance, by class: all, visible, unshown.
    let values: Vec<Vec<[f64; 3]>> = tolerances
        .iter()
        .map(|reach| {
            let class = |c: usize| average_precisions(tracks.iter().map(|half| &half[c]), *reach);
            (0..classes.len()).map(class).collect()
        })
        .collect();
    let mean = |part: usize| {
        let of = |all: &Vec<[f64; 3]>| all.iter().map(|v| v[part]).sum::<f64>() / all.len() as f64;
        Tolerances::mean(&values.iter().map(of).collect::<Vec<_>>())
    };
    let per_class = |part: usize| {
        let of = |c: usize| values.iter().map(|all| all[c][part]).collect::<Vec<_>>();
        let class = |(c, name): (usize, &&str)| (name.to_string(), Tolerances::mean(&of(c)).into());
        classes.iter().enumerate().map(class).collect::<Map<String, Value>>()
    };
    let has_visibility = options.version == Version::V2;
    let factor = if tolerances.len() > 1 { 17.0 / 13.0 } else { 1.0 };
    Spotting {
        metric: options.tolerances.name(),
        games,
        average: mean(0),
        per_class: per_class(0),
        visible: has_visibility.then(|| mean(1)),
        per_class_visible: has_visibility.then(|| per_class(1)),
        unshown: has_visibility.then(|| mean(2) * factor),
        per_class_unshown: has_visibility.then(|| per_class(2)),
    }
}
