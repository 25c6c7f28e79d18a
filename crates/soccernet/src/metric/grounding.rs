//! Replay grounding: Average-AP of the moments that replays show.
//!
//! Deliège et al. *SoccerNet-v2*. <https://arxiv.org/abs/2011.13367>; the package SoccerNet 0.1.62.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    spotting::{foreign_games, other_game},
    suppression::suppress,
    track::{Track, average_precisions},
};
use crate::{
    Error, Judge, Options, Result, Source,
    classes::action,
    format::{
        replays::{Replay, Replays},
        shots::{Link, Shot, Shots},
    },
    source::join,
    tolerance::Tolerances,
};

/// Frames of a half: 3500 seconds.
const FRAMES: i64 = 7000;
const FILES: [&str; 2] = ["results_grounding.json", "Detection-replays.json"];

/// The result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Grounding {
    /// `loose`, `tight` or `at1` to `at5`.
    pub metric: &'static str,
    /// Number of games.
    pub games: usize,
    /// Number of pairs of a replay and its action that were examined.
    pub replays: usize,
    /// Mean over tolerances.
    #[serde(rename = "a_AP")]
    pub average: f64,
}

/// Scores the games of the truth. The official mode examines each replay *of the submission*, so that a
/// missing replay is no miss. The strict mode examines each replay of the truth.
///
/// # Errors
///
/// If a game is missing, a file is invalid, the official evaluator fails, or the judge refuses an entry.
pub fn score(
    truth: &Source,
    prediction: &Source,
    options: &Options,
    judge: &mut Judge,
) -> Result<Grounding> {
    let label_file = options.label_file.as_deref().unwrap_or("Labels-cameras.json");
    let games = options.games(truth, label_file)?;
    let known = FILES.into_iter().find(|file| !prediction.folders_with(file).is_empty());
    let file = options.prediction_file.as_deref().or(known).unwrap_or(FILES[0]);
    foreign_games(prediction, file, &games, judge)?;
    let (mut tracks, mut scan) = (Vec::new(), Scan::default());
    for game in &games {
        let labels = join(game, label_file);
        let shots = Shots::read(&truth.read(&labels)?, &labels, judge)?;
        let found = join(game, file);
        let replays = Replays::read(&prediction.read(&found)?, &found, judge)?;
        other_game(&replays.url_local, game, &found, judge)?;
        match judge.is_strict() {
            true => tracks.extend(strict(&shots, &replays, &found)?),
            false => tracks.extend(scan.official(&shots, &replays, &found, judge)?),
        }
    }
    if tracks.is_empty() && !judge.is_strict() {
        let problem = "no replay of the submission matches a replay of the truth that links to an \
                       action of the same half; the official evaluator fails here";
        return Err(Error::file(prediction.name(), problem));
    }
    let average_precision = |reach: &i64| {
        let kept: Vec<Track> = tracks
            .iter()
            .map(|track| Track { truth: track.truth.clone(), seen: suppress(&track.seen, *reach) })
            .collect();
        average_precisions(kept.iter(), *reach)[0]
    };
    let values: Vec<f64> = options.tolerances.seconds().iter().map(average_precision).collect();
    Ok(Grounding {
        metric: options.tolerances.name(),
        games: games.len(),
        replays: tracks.len(),
        average: Tolerances::mean(&values),
    })
}

/// The state of the official search, which is kept from replay to replay and from game to game.
#[derive(Debug, Default)]
struct Scan {
    /// The frame of the shot that was examined last.
    previous: Option<i64>,
}

impl Scan {
    fn official(
        &mut self,
        shots: &Shots,
        replays: &Replays,
        file: &str,
        judge: &mut Judge,
    ) -> Result<Vec<Track>> {
        let mut tracks = Vec::new();
        for replay in &replays.replays {
            let seen = candidates(replay, file)?;
            match self.find(shots, replay, file)? {
                Some(link) => tracks.push(track(link, seen, file, &replay.entry)?),
                None => {
                    let problem = "the truth has no replay that ends here and shows an action of \
                                   this half; it is ignored";
                    judge.odd(Error::entry(file, &replay.entry, problem))?;
                }
            }
        }
        Ok(tracks)
    }

    /// The first shot that ends at the replay's end and shows an action of its half. A shot that ends at the
    /// same second as the previous shot is skipped.
    fn find<'a>(
        &mut self,
        shots: &'a Shots,
        replay: &Replay,
        file: &str,
    ) -> Result<Option<&'a Link>> {
        for shot in &shots.annotations {
            let frame = shot.time.frame();
            let link = shot.link.as_ref().filter(|link| is_of(link, replay.half));
            let previous = self.previous;
            if let Some(link) = link {
                let fails = || {
                    let problem =
                        "the very first shot links to an action; the official evaluator fails";
                    Error::entry(file, &replay.entry, problem)
                };
                let previous = previous.ok_or_else(fails)?;
                if previous != frame {
                    if frame == replay.end.saturating_mul(2) {
                        return Ok(Some(link));
                    }
                    continue;
                }
            }
            self.previous = Some(frame);
        }
        Ok(None)
    }
}

fn is_of(link: &Link, half: i64) -> bool {
    link.half == half && action(&link.label).is_some()
}

/// The candidates by frame; the last one of a frame counts.
fn candidates(replay: &Replay, file: &str) -> Result<BTreeMap<i64, f64>> {
    let mut seen = BTreeMap::new();
    for (i, candidate) in replay.detection.iter().enumerate() {
        let frame = (candidate.time * 2.0) as i64;
        let place = if frame < 0 { frame + FRAMES } else { frame };
        let outside = || {
            let problem = format!("{}; expected less than 3500 seconds", candidate.time);
            Error::entry(file, format!("{}.detection[{i}].time", replay.entry), problem)
        };
        if !(0..FRAMES).contains(&place) {
            return Err(outside());
        }
        seen.insert(place, candidate.score);
    }
    Ok(seen)
}

fn track(link: &Link, seen: BTreeMap<i64, f64>, file: &str, entry: &str) -> Result<Track> {
    let frame = 2 * link.seconds;
    if !(0..FRAMES).contains(&frame) {
        let problem = format!(
            "the action of its replay is at {} seconds; the official evaluator \
                               supports less than 3500",
            link.seconds
        );
        return Err(Error::entry(file, entry, problem));
    }
    Ok(Track { truth: [(frame, true)].into(), seen })
}

/// The tracks of the truth's replays, each once; a replay that the submission lacks has no candidates.
fn strict(shots: &Shots, replays: &Replays, file: &str) -> Result<Vec<Track>> {
    refuse_foreign_and_double(shots, replays, file)?;
    let mut tracks = Vec::new();
    for (shot, start) in with_starts(&shots.annotations) {
        let Some(link) = shot.link.as_ref().filter(|link| action(&link.label).is_some()) else {
            continue;
        };
        let is_it = |r: &&Replay| (r.half, r.start, r.end) == (link.half, start, shot.time.seconds);
        let found = replays.replays.iter().find(is_it);
        let seen = found.map(|replay| candidates(replay, file)).transpose()?;
        tracks.push(track(link, seen.unwrap_or_default(), file, "Replays")?);
    }
    Ok(tracks)
}

/// Each shot with the second at which it begins: the end of the previous entry of the same half.
fn with_starts(shots: &[Shot]) -> impl Iterator<Item = (&Shot, i64)> {
    shots.iter().enumerate().map(|(i, shot)| {
        let above = shots[..i].last().filter(|above| above.time.half == shot.time.half);
        (shot, above.map_or(0, |above| above.time.seconds))
    })
}

fn refuse_foreign_and_double(shots: &Shots, replays: &Replays, file: &str) -> Result<()> {
    for (i, replay) in replays.replays.iter().enumerate() {
        let fault = |problem: &str| Err(Error::entry(file, &replay.entry, problem));
        let is_same =
            |r: &Replay| (r.half, r.start, r.end) == (replay.half, replay.start, replay.end);
        if replays.replays[..i].iter().any(is_same) {
            return fault("an entry above has the same half, start and end");
        }
        let span = (replay.start, replay.end);
        let all = with_starts(&shots.annotations);
        let spanned: Vec<_> = all.filter(|(shot, at)| (*at, shot.time.seconds) == span).collect();
        if spanned.is_empty() {
            return fault("the truth has no shot from this start to this end");
        }
        let elsewhere = |shot: &Shot| shot.link.as_ref().is_some_and(|l| l.half != replay.half);
        if spanned.iter().all(|(shot, _)| elsewhere(shot)) {
            return fault(
                "the replayed action is in the other half; half must be the half of the action",
            );
        }
    }
    Ok(())
}
