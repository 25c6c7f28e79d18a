//! Replay grounding: finding the moment of the game that a replay shows.
//!
//! Deliège et al. *SoccerNet-v2*. <https://arxiv.org/abs/2011.13367>
//!
//! An example has two channels: a piece of the half, and the replay, repeated to the same length. A network
//! predicts for each frame of the piece whether the replay shows it. In training, for each piece that
//! contains the moment, `negatives` pieces are drawn anywhere in the half: one, or five in the paper's
//! variant with more negatives. The measures are those of the official package. The heuristic without
//! learning, reported beside them, answers with the last action that was labelled before the replay.
//!
//! Differs from the paper: an answer at each frame in place of one confidence and one position per piece.

use std::{collections::BTreeMap, sync::Arc};

use burn::prelude::*;
use moe::{Domain, Input, config};
use rand::RngExt;
use soccernet::{
    Measured, Options, Source, Task as Official,
    classes::action,
    format::{
        labels::Labels,
        replays::{Candidate, Replay, Replays},
    },
    tolerance::Tolerances,
};

use super::{
    games::{Game, Games},
    games_config::{GamesConfig, List},
    spotting::{bce, peaks},
};
use crate::{
    Batch, BatchPosition, DataDir, DataError, LoadTask, Score, Split, Task, WholeSplitTask,
    data::files::{fault, wrong},
    official::official_measures,
};

const CAMERAS: &str = "Labels-cameras.json";
const ACTIONS: &str = "Labels-v2.json";
/// The maximum number of candidates of a replay.
const CANDIDATES: usize = 30;

config! {
    /// The games, and how they are shown.
    pub struct GroundingConfig {
        /// The games.
        pub games: GamesConfig = GamesConfig::default(),
        /// The number of frames of a piece, at two per second.
        pub chunk: usize = 120,
        /// The length in seconds of the window around the moment whose frames count as the moment.
        pub window: f64 = 3.0,
        /// The number of pieces drawn anywhere in the half for each one with the moment, in training.
        pub negatives: usize = 1,
    }
}

/// A replay of an action.
#[derive(Clone, Debug)]
struct ActionReplay {
    game: usize,
    /// The half in which it is shown, from 0, and its frames.
    half: usize,
    begin: usize,
    end: usize,
    /// The half, from 0, and the frame of the moment that it shows.
    of_half: usize,
    moment: usize,
    /// The frame of the last labelled action before it, in its half.
    last_action: Option<usize>,
}

/// A replay, and the first frame of a piece of the half that it shows.
type ReplayPiece = (usize, usize);

/// Replay grounding.
pub struct Grounding {
    config: GroundingConfig,
    games: Games,
    replays: [Vec<ActionReplay>; 3],
    /// Pieces by split: the one with the moment in training, all of the half otherwise.
    pairs: [Vec<ReplayPiece>; 3],
}

impl LoadTask for Grounding {
    type Config = GroundingConfig;
    const NAME: &'static str = "replay-grounding";
    const ABOUT: &'static str = "grounding of replays in football games: the replayed moment";
    const SOURCE: &'static str =
        "generated, or https://www.soccer-net.org (non-disclosure agreement)";

    fn load(config: &GroundingConfig, data: &DataDir) -> Result<Arc<dyn Task>, DataError> {
        if !(8..=100_000).contains(&config.chunk) || !(0.0..=60.0).contains(&config.window) {
            let GroundingConfig { chunk, window, .. } = config;
            let message = format!(
                "chunk = {chunk}, window = {window}: must be from 8 to 100000 and from 0 to 60"
            );
            return Err(wrong(Self::NAME, message));
        }
        if config.negatives > 1000 {
            let message = format!("negatives = {}: must be from 0 to 1000", config.negatives);
            return Err(wrong(Self::NAME, message));
        }
        let games =
            Games::load(Self::NAME, &config.games, List::Actions, &[CAMERAS, ACTIONS], data)?;
        Ok(Arc::new(Self::new(config, games)?))
    }
}

/// The replays of a game with a known moment.
fn shown(number: usize, game: &Game) -> soccernet::Result<Vec<ActionReplay>> {
    let shots = game.shots(0, CAMERAS)?;
    let labels = match game.labels[1].is_empty() {
        true => Labels::default(),
        false => game.actions(1, ACTIONS)?,
    };
    let mut all = Vec::new();
    let mut before = (0, 0);
    for shot in &shots.annotations {
        let begin = if before.0 == shot.time.half { before.1 } else { 0 };
        let end = shot.time.frame();
        before = (shot.time.half, end);
        let Some(link) = shot.link.as_ref().filter(|link| action(&link.label).is_some()) else {
            continue;
        };
        let (Some(half), Some(of_half)) = (half(shot.time.half), half(link.half)) else { continue };
        let frames = [half, of_half].map(|half| game.halves[half].frames as i64);
        if begin >= end || begin >= frames[0] || 2 * link.seconds >= frames[1] {
            continue;
        }
        let earlier = labels
            .annotations
            .iter()
            .filter(|label| label.time.half == shot.time.half && label.time.frame() < begin);
        let last = earlier.map(|label| label.time.frame()).max();
        all.push(ActionReplay {
            game: number,
            half,
            begin: begin as usize,
            end: end.min(frames[0]) as usize,
            of_half,
            moment: 2 * link.seconds as usize,
            last_action: last.map(|frame| frame as usize),
        });
    }
    Ok(all)
}

fn half(number: i64) -> Option<usize> {
    (1..=2).contains(&number).then(|| number as usize - 1)
}

impl Grounding {
    fn new(config: &GroundingConfig, games: Games) -> Result<Self, DataError> {
        let mut replays = [vec![], vec![], vec![]];
        for (replays, games) in replays.iter_mut().zip(&games.splits) {
            for (number, game) in games.iter().enumerate() {
                replays.extend(shown(number, game).map_err(fault)?);
            }
        }
        let chunk = config.chunk;
        let piece = |(number, replay): (usize, &ActionReplay)| {
            (number, replay.moment.saturating_sub(chunk / 2))
        };
        let train = replays[0].iter().enumerate().map(piece).collect();
        let all = |split: usize| -> Vec<ReplayPiece> {
            let pieces = replays[split].iter().enumerate().flat_map(|(number, replay)| {
                let frames = games.splits[split][replay.game].halves[replay.of_half].frames;
                (0..frames).step_by(chunk).map(move |start| (number, start))
            });
            pieces.collect()
        };
        let pairs = [train, all(1), all(2)];
        Ok(Self { config: config.clone(), games, replays, pairs })
    }

    /// Pieces and replays side by side, `[B, 2, chunk, width]`, and whether a frame is the moment.
    fn show(&self, split: Split, pairs: &[ReplayPiece], device: &Device) -> Batch {
        let (chunk, width) = (self.config.chunk, self.games.width);
        let mut features = Vec::with_capacity(pairs.len() * 2 * chunk * width);
        let mut targets = Vec::with_capacity(pairs.len() * chunk);
        for (number, start) in pairs {
            let replay = &self.replays[split as usize][*number];
            let game = &self.games.splits[split as usize][replay.game];
            let half = &game.halves[replay.of_half];
            for row in 0..chunk {
                let frame = (start + row).min(half.frames - 1);
                features.extend_from_slice(&half.features[frame * width..(frame + 1) * width]);
                let away = frame.abs_diff(replay.moment) as f64;
                targets.push(f32::from(away <= self.config.window));
            }
            let half = &game.halves[replay.half];
            for row in 0..chunk {
                let frame = replay.begin + row % (replay.end - replay.begin);
                features.extend_from_slice(&half.features[frame * width..(frame + 1) * width]);
            }
        }
        let features = TensorData::new(features, [pairs.len(), 2, chunk, width]);
        let labels = targets.iter().map(|target| *target as i32).collect::<Vec<_>>();
        let labels = TensorData::new(labels, [pairs.len(), chunk]);
        let targets = TensorData::new(targets, [pairs.len(), chunk, 1]);
        let batch = Batch::new(
            Input::Image(Tensor::from_data(features, device)),
            Tensor::from_data(labels, device),
        );
        Batch { targets: Some(Tensor::from_data(targets, device)), ..batch }
    }

    /// A piece of a training replay: with the moment anywhere in it, or drawn anywhere in the half.
    fn drawn(&self, number: usize, place: BatchPosition, index: usize) -> ReplayPiece {
        let replay = &self.replays[0][number];
        let frames = self.games.splits[0][replay.game].halves[replay.of_half].frames;
        let last = frames.saturating_sub(self.config.chunk);
        let mut rng = place.rng("grounding", index);
        let start = match rng.random_bool(1.0 / (1.0 + self.config.negatives as f64)) {
            true => {
                let back = rng.random_range(0..self.config.chunk);
                replay.moment.saturating_sub(back).min(last)
            }
            false => rng.random_range(0..=last),
        };
        (number, start)
    }

    /// The files of a submission with the candidates of each replay, given as frame and confidence.
    fn submission(&self, split: Split, candidates: &[Vec<(usize, f64)>]) -> Source {
        let games = &self.games.splits[split as usize];
        let mut files: Vec<Replays> = games.iter().map(|_| Replays::default()).collect();
        for (replay, candidates) in self.replays[split as usize].iter().zip(candidates) {
            let candidate = |(frame, score): &(usize, f64)| Candidate {
                time: *frame as f64 / 2.0,
                score: *score,
            };
            files[replay.game].replays.push(Replay {
                half: replay.of_half as i64 + 1,
                start: replay.begin as i64 / 2,
                end: replay.end as i64 / 2,
                detection: candidates.iter().map(candidate).collect(),
                entry: String::new(),
            });
        }
        let file = |(game, file): (&Game, &Replays)| {
            (format!("{}/results_grounding.json", game.name), file.write())
        };
        let files: BTreeMap<String, Vec<u8>> = games.iter().zip(&files).map(file).collect();
        Source::memory("replays", files)
    }

    /// The last labelled action before each replay as its only candidate, if there is one.
    fn last_actions(&self, split: Split) -> Vec<Vec<(usize, f64)>> {
        let last = |replay: &ActionReplay| replay.last_action.map(|frame| (frame, 1.0));
        let replays = self.replays[split as usize].iter();
        replays.map(|replay| last(replay).into_iter().collect()).collect()
    }

    /// The average precision of the official evaluator; NaN if it fails.
    fn average_precision(
        &self,
        split: Split,
        candidates: &[Vec<(usize, f64)>],
        tolerances: Tolerances,
    ) -> f64 {
        let options = Options { tolerances, ..Options::of(Official::Grounding) };
        let truth = self.games.truth(split as usize, CAMERAS);
        let seen = self.submission(split, candidates);
        let of = |found: Measured| match found {
            Measured::Grounding(found) => Some([found.average]),
            _ => None,
        };
        let [average] = official_measures(Official::Grounding, &options, [&truth, &seen], of);
        average
    }
}

impl Task for Grounding {
    fn domain(&self) -> Domain {
        Domain::Image { channels: 2, height: self.config.chunk, width: self.games.width }
    }

    fn outputs(&self) -> usize {
        1
    }

    fn takes(&self, answers: usize) -> Result<(), String> {
        super::for_each_frame(answers, self.config.chunk)
    }

    fn causal(&self) -> bool {
        false
    }

    fn metrics(&self) -> &[&'static str] {
        &["a_AP", "a_AP_tight", "a_AP_last_action", "a_AP_over_last_action", "loss"]
    }

    fn len(&self, split: Split) -> usize {
        self.pairs[split as usize].len()
    }

    fn batch(&self, split: Split, examples: &[usize], device: &Device) -> Batch {
        let all = &self.pairs[split as usize];
        let pairs: Vec<ReplayPiece> = examples.iter().map(|example| all[*example]).collect();
        self.show(split, &pairs, device)
    }

    fn training_batch(&self, examples: &[usize], place: BatchPosition, device: &Device) -> Batch {
        let drawn = |(index, example): (usize, &usize)| self.drawn(*example, place, index);
        let pairs: Vec<ReplayPiece> = examples.iter().enumerate().map(drawn).collect();
        self.show(Split::Train, &pairs, device)
    }

    fn loss(&self, output: Tensor<3>, batch: &Batch) -> Tensor<1> {
        bce(output, batch.targets.clone().expect("a batch of this task has targets"))
    }

    fn measure(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
        score.add_loss(self.loss(output, batch), batch);
    }

    /// The last labelled action before each replay.
    fn trivial(&self) -> Vec<(&'static str, f64)> {
        let last = self.last_actions(Split::Test);
        let of = |tolerances| self.average_precision(Split::Test, &last, tolerances);
        vec![("a_AP", of(Tolerances::Loose)), ("a_AP_tight", of(Tolerances::Tight))]
    }

    fn as_whole_split(&self) -> Option<&dyn WholeSplitTask> {
        Some(self)
    }
}

impl WholeSplitTask for Grounding {
    fn measure_whole(&self, split: Split, outputs: &[Vec<f32>], score: &mut Score) {
        let replays = &self.replays[split as usize];
        let frames = |replay: &ActionReplay| {
            self.games.splits[split as usize][replay.game].halves[replay.of_half].frames
        };
        let mut scores: Vec<Vec<f32>> =
            replays.iter().map(|replay| vec![0.0; frames(replay)]).collect();
        for ((number, start), output) in self.pairs[split as usize].iter().zip(outputs) {
            let here = scores[*number].iter_mut().skip(*start);
            here.zip(output).for_each(|(score, x)| *score = 1.0 / (1.0 + (-x).exp()));
        }
        let candidates = |scores: &Vec<f32>| -> Vec<(usize, f64)> {
            let best = peaks(scores.len(), 2, |frame| scores[frame]).into_iter().take(CANDIDATES);
            best.map(|frame| (frame, f64::from(scores[frame]))).collect()
        };
        let learned: Vec<Vec<(usize, f64)>> = scores.iter().map(candidates).collect();
        let last = self.last_actions(split);
        let of = |candidates, tolerances| self.average_precision(split, candidates, tolerances);
        let loose = of(&learned, Tolerances::Loose);
        let heuristic = of(&last, Tolerances::Loose);
        score.add("a_AP", loose, 1);
        score.add("a_AP_tight", of(&learned, Tolerances::Tight), 1);
        score.add("a_AP_last_action", heuristic, 1);
        score.add("a_AP_over_last_action", loose - heuristic, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> Grounding {
        with(1)
    }

    fn with(negatives: usize) -> Grounding {
        let games =
            GamesConfig { train: 1, valid: 1, test: 2, minutes: 5, width: 4, ..Default::default() };
        let config = GroundingConfig { games, chunk: 50, window: 1.0, negatives };
        let files = [CAMERAS, ACTIONS];
        let games =
            Games::load("t", &config.games, List::Actions, &files, &DataDir::default()).unwrap();
        Grounding::new(&config, games).unwrap()
    }

    #[test]
    fn who_knows_the_moment_is_perfect_and_the_last_action_is_not() {
        let task = task();
        assert!(task.replays[2].len() > 5);
        let outputs: Vec<Vec<f32>> = task.pairs[2]
            .iter()
            .map(|(number, start)| {
                let moment = task.replays[2][*number].moment;
                (0..50).map(|row| if start + row == moment { 20.0 } else { -20.0 }).collect()
            })
            .collect();
        let mut score = Score::default();
        task.measure_whole(Split::Test, &outputs, &mut score);
        assert_eq!(["a_AP", "a_AP_tight"].map(|name| score.mean(name)), [1.0, 1.0]);
        let last = score.mean("a_AP_last_action");
        assert!(last > 0.0 && last < 0.9, "{last}");
        assert_eq!(score.mean("a_AP_over_last_action"), 1.0 - last);
        let trivial = task.trivial();
        assert_eq!(trivial[0], ("a_AP", last));
        assert!(trivial[1].0 == "a_AP_tight" && trivial[1].1 <= last, "{trivial:?}");
    }

    #[test]
    fn a_share_of_the_pieces_in_training_holds_the_moment() {
        let place = BatchPosition { seed: 0, position: 0 };
        let share = |negatives| {
            let task = with(negatives);
            let examples: Vec<usize> = (0..400).map(|at| at % task.len(Split::Train)).collect();
            let batch = task.training_batch(&examples, place, &Device::flex());
            let held = batch.targets.unwrap().max_dim(1).into_data();
            held.iter::<f32>().sum::<f32>() / 400.0
        };
        // 1/2 and 1/6, and a piece drawn at random: 50 of 600 frames.
        assert!((share(1) - 0.54).abs() < 0.1, "{}", share(1));
        assert!((share(5) - 0.24).abs() < 0.1, "{}", share(5));
        assert_eq!(share(0), 1.0);
        let task = task();
        let batch = task.batch(Split::Train, &[0], &Device::flex());
        let Input::Image(rows) = batch.input else { panic!() };
        assert_eq!(rows.dims(), [1, 2, 50, 4]);
    }
}
