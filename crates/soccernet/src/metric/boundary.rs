//! Shot boundaries: mAP at one second.
//!
//! Deliège et al. *SoccerNet-v2*. <https://arxiv.org/abs/2011.13367>; its development kit, CALF of
//! task 2.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    shot_frames::{check_length, ends, foreign_halves, half, shots},
    suppression::suppress,
    track::{Track, average_precisions},
};
use crate::{
    Error, Judge, Options, Result, Source, classes::CHANGES, format::shots::Shots, npy::Array,
    source::join,
};

/// The number of frames on either side of a boundary, and of the suppression: half of one second.
const REACH: i64 = 1;

/// The result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Boundary {
    /// Number of games.
    pub games: usize,
    /// Average precision at one second, over the boundaries of all kinds.
    #[serde(rename = "mAP")]
    pub average: f64,
    /// Average precision for each kind: detections nearer to a boundary of another kind are left out.
    #[serde(rename = "mAP_per_change")]
    pub per_change: Map<String, Value>,
}

/// Scores `1_boundary.npy` and `2_boundary.npy` of each game of the truth: one confidence per frame, negative
/// if there is no boundary.
///
/// # Errors
///
/// If a game is missing, a file is invalid, or the judge refuses an entry.
pub fn score(
    truth: &Source,
    prediction: &Source,
    options: &Options,
    judge: &mut Judge,
) -> Result<Boundary> {
    let label_file = options.label_file.as_deref().unwrap_or("Labels-cameras.json");
    let end = options.prediction_file.as_deref().unwrap_or("boundary.npy");
    let games = options.games(truth, label_file)?;
    foreign_halves(prediction, end, &games, judge)?;
    let mut halves = Vec::new();
    for game in &games {
        let labels = join(game, label_file);
        let shots = shots(truth, &labels, judge)?;
        check_changes(&shots, &labels, judge)?;
        for number in 1..=2 {
            let (array, file) = half(prediction, game, number, end)?;
            check_scores(&array, &file, judge)?;
            check_length(&shots, number, array.data.len(), &file, judge)?;
            let seen = (0..).zip(array.data.iter().copied()).collect();
            let ends = ends(&shots, number, array.data.len(), judge, &labels)?;
            let changes = ends.iter().filter_map(|(_, shot, frame)| {
                let change = CHANGES.iter().position(|change| *change == shot.change)?;
                Some((*frame as i64, change))
            });
            halves.push((changes.collect::<Vec<_>>(), suppress(&seen, REACH)));
        }
    }
    let of = |kind: usize| {
        let track = |(changes, seen): &(Vec<(i64, usize)>, _)| Track {
            truth: changes.iter().map(|(frame, change)| (*frame, *change == kind)).collect(),
            seen: Clone::clone(seen),
        };
        let tracks: Vec<Track> = halves.iter().map(track).collect();
        average_precisions(tracks.iter(), REACH)
    };
    let per_change = CHANGES.iter().enumerate();
    Ok(Boundary {
        games: games.len(),
        average: of(0)[0],
        per_change: per_change.map(|(i, name)| (name.to_string(), of(i)[1].into())).collect(),
    })
}

/// Reports unknown kinds of changes as odd.
fn check_changes(shots: &Shots, labels: &str, judge: &mut Judge) -> Result<()> {
    for (i, shot) in shots.annotations.iter().enumerate() {
        let change = shot.change.as_str();
        if !change.is_empty() && !CHANGES.contains(&change) {
            let entry = format!("annotations[{i}].change_type");
            let known = CHANGES.join(", ");
            let problem =
                format!("{change:?} is not a kind of change and is ignored; known: {known}");
            judge.odd(Error::entry(labels, entry, problem))?;
        }
    }
    Ok(())
}

/// Checks that there is one confidence per frame. NaN is odd, and so is a value above 1, since all of these
/// count as 1.
fn check_scores(array: &Array, file: &str, judge: &mut Judge) -> Result<()> {
    if !matches!(array.shape[..], [_] | [_, 1]) {
        let problem = format!("shape {:?}; expected (frames,)", array.shape);
        return Err(Error::file(file, problem));
    }
    if let Some(frame) = array.data.iter().position(|score| score.is_nan()) {
        let problem =
            format!("frame {frame} is not a number; the half is scored without boundaries");
        judge.odd(Error::file(file, problem))?;
    }
    if let Some(frame) = array.data.iter().position(|score| *score > 1.0) {
        let score = array.data[frame];
        let problem = format!("frame {frame} has the confidence {score}; expected at most 1");
        judge.odd(Error::file(file, problem))?;
    }
    Ok(())
}
