//! Action spotting: detection of 17 kinds of actions and their times.
//!
//! Deliège et al. *SoccerNet-v2*. <https://arxiv.org/abs/2011.13367>
//! Giancola, Ghanem. *Temporally-Aware Feature Pooling for Action Spotting*.
//! <https://arxiv.org/abs/2104.06779>: the target of a frame is whether the window around it contains an
//! action, with one additional class for no action; the loss is binary cross-entropy; in the test, the
//! network slides over the half, and for each class the best frame of a window is kept.
//!
//! With `loss = "calf"` the outputs are those of CALF, see `calf_loss.rs`.
//!
//! The measures are Average-mAP of the official package: loose, tight, and tight with labels at whole
//! seconds, as in the challenge of 2022. The labels of a batch are the kinds of camera, for analyses of
//! routing.

use std::{collections::BTreeMap, sync::Arc};

use burn::prelude::*;
use moe::{Domain, config};
use serde::{Deserialize, Serialize};
use soccernet::{
    Judge, Measured, Options, Source, Task as Official,
    classes::ACTIONS,
    clock::frame_of,
    format::spots::{Spot, Spots},
    metric::segmentation::segments,
    tolerance::Tolerances,
};

use super::{
    actions::{Action, CLASSES, by_half},
    calf_loss::{self, CalfLoss},
    chunks::{Chunk, Chunks},
    games::{Game, Games},
    games_config::{GamesConfig, List},
    single_frames::single_frames,
};
use crate::{
    Batch, DataDir, DataError, LoadTask, Score, Split, Task, WholeSplitTask,
    data::files::{fault, wrong},
    official::official_measures,
    score::constant,
};

const FILE: &str = "Labels-v2.json";
const CAMERAS: &str = "Labels-cameras.json";

/// The loss of spotting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpottingLoss {
    /// Binary cross-entropy of each class at each frame.
    Bce,
    /// The context-aware loss and the loss of spots of CALF.
    Calf,
}

config! {
    /// The games, and how they are shown.
    pub struct SpottingConfig {
        /// The games.
        pub games: GamesConfig = GamesConfig::default(),
        /// The number of frames of an example that count, at two per second.
        pub chunk: usize = 120,
        /// The number of frames before and after them that are shown and do not count.
        pub margin: usize = 40,
        /// The length in seconds of the window around a frame whose actions count as the frame's; for
        /// `"bce"`.
        pub window: f64 = 20.0,
        /// The loss: `"bce"` or `"calf"`.
        pub loss: SpottingLoss = SpottingLoss::Bce,
        /// The length in seconds of the window in which only one spot of a class is kept.
        pub suppression: f64 = 30.0,
        /// K1 to K4 of CALF in seconds, the same for all classes; the published ones, by class, if none
        /// are given.
        pub context: Option<[f64; 4]> = None,
        /// The weight of the context-aware loss of CALF beside that of its spots.
        pub context_weight: f64 = 1.5,
    }
}

/// Action spotting.
pub struct Spotting {
    config: SpottingConfig,
    games: Games,
    chunks: Chunks,
    /// Actions by split, game and half.
    actions: [Vec<[Vec<Action>; 2]>; 3],
    /// Kinds of camera by split, game, half and frame.
    cameras: [Vec<[Vec<usize>; 2]>; 3],
    calf: CalfLoss,
}

impl LoadTask for Spotting {
    type Config = SpottingConfig;
    const NAME: &'static str = "action-spotting";
    const ABOUT: &'static str = "action spotting in football games, from frame features";
    const SOURCE: &'static str =
        "generated, or https://www.soccer-net.org (non-disclosure agreement)";

    fn load(config: &SpottingConfig, data: &DataDir) -> Result<Arc<dyn Task>, DataError> {
        check(config).map_err(|message| wrong(Self::NAME, message))?;
        let games = Games::load(Self::NAME, &config.games, List::Actions, &[FILE, CAMERAS], data)?;
        Ok(Arc::new(Self::new(config, games)?))
    }
}

fn check(config: &SpottingConfig) -> Result<(), String> {
    Chunks::check(config.chunk, config.margin)?;
    if !(config.window > 0.0 && config.window <= 600.0) {
        return Err(format!("window = {}: must be above 0 and at most 600 seconds", config.window));
    }
    if !(config.suppression >= 0.0 && config.suppression <= 600.0) {
        return Err(format!("suppression = {}: must be from 0 to 600 seconds", config.suppression));
    }
    if !(config.context_weight.is_finite() && config.context_weight >= 0.0) {
        return Err(format!("context_weight = {}: must be at least 0", config.context_weight));
    }
    let ordered = |k: [f64; 4]| k[0] < k[1] && k[1] < 0.0 && 0.0 < k[2] && k[2] < k[3];
    match config.context {
        Some(k) if !ordered(k) => {
            Err(format!("context = {k:?}: must satisfy K1 < K2 < 0 < K3 < K4"))
        }
        _ => Ok(()),
    }
}

impl Spotting {
    fn new(config: &SpottingConfig, games: Games) -> Result<Self, DataError> {
        let mut actions = [vec![], vec![], vec![]];
        let mut cameras = [vec![], vec![], vec![]];
        for (split, all) in games.splits.iter().enumerate() {
            for game in all {
                actions[split].push(by_half(&game.actions(0, FILE).map_err(fault)?));
                cameras[split].push(kinds(game, 1).map_err(fault)?);
            }
        }
        let chunks = Chunks::new(&games, config.chunk, config.margin);
        let calf = CalfLoss::new(config.context, config.context_weight);
        Ok(Self { config: config.clone(), games, chunks, actions, cameras, calf })
    }

    /// The actions of a chunk's half: class, and position in frames from the first frame of the chunk that
    /// counts.
    fn near(&self, split: Split, chunk: Chunk) -> impl Iterator<Item = (usize, i64)> + '_ {
        let actions = &self.actions[split as usize][chunk.game][chunk.half];
        actions.iter().map(move |(class, ms)| (*class, frame_of(*ms) - chunk.start as i64))
    }

    /// The targets, `[B, chunk, 18]`: 1 if the window around the frame contains an action of the class, and
    /// for the class of no action if it contains none.
    fn windows(&self, split: Split, chunks: &[Chunk]) -> (Vec<f32>, usize) {
        let reach = self.config.window; // Half of it on either side, and two frames a second.
        let length = self.config.chunk;
        let mut targets = vec![0.0; chunks.len() * length * CLASSES];
        for (target, chunk) in targets.chunks_mut(length * CLASSES).zip(chunks) {
            for (class, at) in self.near(split, *chunk) {
                for (frame, row) in target.chunks_mut(CLASSES).enumerate() {
                    if (frame as i64 - at).abs() as f64 <= reach / 2.0 {
                        row[class + 1] = 1.0;
                    }
                }
            }
            for row in target.chunks_mut(CLASSES) {
                row[0] = f32::from(row.iter().all(|value| *value == 0.0));
            }
        }
        (targets, CLASSES)
    }

    /// The spots of a half, from confidences `[frames, 17]`: the best of each window.
    fn spots(&self, half: usize, scores: &[f32]) -> Vec<Spot> {
        let radius = self.config.suppression as usize;
        let frames = scores.len() / ACTIONS.len();
        let mut spots = Vec::new();
        for (class, label) in ACTIONS.iter().enumerate() {
            let of = |frame: usize| scores[frame * ACTIONS.len() + class];
            spots.extend(peaks(frames, radius, of).into_iter().map(|frame| Spot {
                half: half as i64 + 1,
                position: 500 * frame as i64,
                label: label.to_string(),
                confidence: f64::from(of(frame)).min(1.0),
            }));
        }
        spots
    }

    /// Confidences by game and half, `[frames, 17]`.
    fn confidences(&self, split: Split, outputs: &[Vec<f32>]) -> Vec<[Vec<f32>; 2]> {
        let (games, chunks) =
            (&self.games.splits[split as usize], &self.chunks.splits[split as usize]);
        if self.config.loss == SpottingLoss::Calf {
            return calf_loss::confidences(games, chunks, outputs, &self.chunks);
        }
        let joined = self.chunks.join(games, chunks, outputs, CLASSES);
        let probability = |x: &f32| 1.0 / (1.0 + (-x).exp());
        let actions = |half: Vec<f32>| -> Vec<f32> {
            half.chunks(CLASSES).flat_map(|row| row[1..].iter().map(probability)).collect()
        };
        joined.into_iter().map(|halves| halves.map(actions)).collect()
    }
}

/// Frames that are the best of all within `radius`, taken greedily from the best on: the official
/// suppression with a window of twice the radius.
pub(super) fn peaks(frames: usize, radius: usize, score: impl Fn(usize) -> f32) -> Vec<usize> {
    let mut order: Vec<usize> = (0..frames).filter(|frame| score(*frame) > 0.0).collect();
    order.sort_by(|a, b| score(*b).total_cmp(&score(*a)).then(a.cmp(b)));
    let mut free = vec![true; frames];
    let mut kept = Vec::new();
    for frame in order {
        if free[frame] {
            kept.push(frame);
            free[frame.saturating_sub(radius)..(frame + radius).min(frames)].fill(false);
        }
    }
    kept
}

/// The kind of camera of each frame of both halves, by the file of labels at index `at` of the game; all 0 if
/// it has none.
pub(super) fn kinds(game: &Game, at: usize) -> soccernet::Result<[Vec<usize>; 2]> {
    let frames = game.halves.each_ref().map(|half| half.frames);
    if game.labels[at].is_empty() {
        return Ok(frames.map(|count| vec![0; count]));
    }
    let shots = game.shots(at, CAMERAS)?;
    let (judge, file) = (&mut Judge::default(), format!("{}/{CAMERAS}", game.name));
    let mut half =
        |number: usize| segments(&shots, number as i64 + 1, frames[number], judge, &file);
    Ok([half(0)?, half(1)?])
}

impl Task for Spotting {
    fn domain(&self) -> Domain {
        self.chunks.domain(self.games.width)
    }

    /// No action, then the 17 actions; with CALF a confidence and a place before the actions.
    fn outputs(&self) -> usize {
        match self.config.loss {
            SpottingLoss::Bce => CLASSES,
            SpottingLoss::Calf => calf_loss::COLUMNS,
        }
    }

    fn takes(&self, answers: usize) -> Result<(), String> {
        let rows = self.chunks.rows();
        if self.config.loss == SpottingLoss::Calf && answers <= rows {
            return Err(
                "the loss calf needs spots in addition to frames; use the backbone calf".into()
            );
        }
        super::for_each_frame(answers, rows)
    }

    fn is_classification(&self) -> bool {
        false
    }

    fn causal(&self) -> bool {
        false
    }

    fn metrics(&self) -> &[&'static str] {
        &[
            "a_mAP",
            "a_mAP_visible",
            "a_mAP_unshown",
            "a_mAP_tight",
            "a_mAP_2022",
            "tight_over_loose",
            "loss",
        ]
    }

    fn len(&self, split: Split) -> usize {
        self.chunks.splits[split as usize].len()
    }

    fn batch(&self, split: Split, examples: &[usize], device: &Device) -> Batch {
        let chunks = self.chunks.of(split, examples);
        let batch =
            self.chunks.batch(&self.games, split, &self.cameras[split as usize], &chunks, device);
        let (targets, columns) = match self.config.loss {
            SpottingLoss::Bce => self.windows(split, &chunks),
            SpottingLoss::Calf => {
                let near = |chunk: &Chunk| self.near(split, *chunk).collect::<Vec<_>>();
                let near: Vec<_> = chunks.iter().map(near).collect();
                (self.calf.targets(&near, self.config.chunk), calf_loss::TARGETS)
            }
        };
        let shape = [chunks.len(), self.config.chunk, columns];
        let targets = Tensor::from_data(TensorData::new(targets, shape), device);
        Batch { targets: Some(targets), ..batch }
    }

    fn loss(&self, output: Tensor<3>, batch: &Batch) -> Tensor<1> {
        let targets = batch.targets.clone().expect("a batch of this task has targets");
        let inner = output.clone().narrow(1, self.chunks.margin, self.config.chunk);
        match self.config.loss {
            SpottingLoss::Bce => bce(inner, targets),
            SpottingLoss::Calf => {
                let rows = self.chunks.rows();
                let spots = output.dims()[1].saturating_sub(rows);
                assert!(spots > 0, "the loss calf needs a backbone with spots: calf");
                self.calf.loss(inner, output.narrow(1, rows, spots), targets)
            }
        }
    }

    fn measure(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
        score.add_loss(self.loss(output, batch), batch);
    }

    /// Single frames by the means of the actions' frames, without any context.
    fn trivial(&self) -> Vec<(&'static str, f64)> {
        let mut score = Score::default();
        let confidences = single_frames(&self.games, &self.actions[0]);
        self.official(Split::Test, &confidences, &mut score);
        score.values()
    }

    fn as_whole_split(&self) -> Option<&dyn WholeSplitTask> {
        Some(self)
    }
}

/// The mean binary cross-entropy of logits: max(x, 0) - x y + ln(1 + exp(-|x|)).
pub(super) fn bce(logits: Tensor<3>, targets: Tensor<3>) -> Tensor<1> {
    let targets = constant(&logits, targets);
    let soft = (logits.clone().abs().neg().exp() + 1.0).log();
    kernels::mean(logits.clone().clamp_min(0.0) - logits * targets + soft)
}

impl WholeSplitTask for Spotting {
    fn measure_whole(&self, split: Split, outputs: &[Vec<f32>], score: &mut Score) {
        self.official(split, &self.confidences(split, outputs), score);
    }
}

impl Spotting {
    /// Adds the official measures of confidences by game and half, `[frames, 17]`.
    fn official(&self, split: Split, confidences: &[[Vec<f32>; 2]], score: &mut Score) {
        let games = &self.games.splits[split as usize];
        let file = |(game, halves): (&super::games::Game, &[Vec<f32>; 2])| {
            let of = |half: usize| self.spots(half, &halves[half]);
            let predictions = [of(0), of(1)].concat();
            let spots = Spots { url_local: game.name.clone(), predictions };
            (format!("{}/results_spotting.json", game.name), spots.write())
        };
        let files: BTreeMap<String, Vec<u8>> = games.iter().zip(confidences).map(file).collect();
        let (truth, seen) =
            (self.games.truth(split as usize, FILE), Source::memory("spots", files));
        let tight = Options { tolerances: Tolerances::Tight, ..Options::of(Official::Spotting) };
        for (official, options, names) in [
            (
                Official::Spotting,
                Options::of(Official::Spotting),
                ["a_mAP", "a_mAP_visible", "a_mAP_unshown"],
            ),
            (Official::Spotting, tight, ["a_mAP_tight", "", ""]),
            (Official::Spotting2022, Options::of(Official::Spotting2022), ["a_mAP_2022", "", ""]),
        ] {
            let of = |found: Measured| match found {
                Measured::Spotting(found) => {
                    let values = [Some(found.average), found.visible, found.unshown];
                    Some(values.map(Option::unwrap_or_default))
                }
                _ => None,
            };
            let values = official_measures(official, &options, [&truth, &seen], of);
            for (name, value) in names.into_iter().zip(values).filter(|(name, _)| !name.is_empty())
            {
                score.add(name, value, 1);
            }
        }
        let share = score.mean("a_mAP_tight") / score.mean("a_mAP");
        score.add("tight_over_loose", if share.is_finite() { share } else { 0.0 }, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(loss: SpottingLoss) -> Spotting {
        let games =
            GamesConfig { train: 1, valid: 1, test: 2, minutes: 4, width: 4, ..Default::default() };
        let config = SpottingConfig {
            games,
            chunk: 100,
            margin: 10,
            loss,
            window: 2.0,
            suppression: 4.0,
            ..Default::default()
        };
        check(&config).unwrap();
        let files = [FILE, CAMERAS];
        let games =
            Games::load("t", &config.games, List::Actions, &files, &DataDir::default()).unwrap();
        Spotting::new(&config, games).unwrap()
    }

    fn measured(task: &Spotting, outputs: &[Vec<f32>]) -> Score {
        let mut score = Score::default();
        task.measure_whole(Split::Test, outputs, &mut score);
        score
    }

    #[test]
    fn outputs_that_are_the_labels_have_the_score_of_a_perfect_submission() {
        let task = task(SpottingLoss::Bce);
        let outputs: Vec<Vec<f32>> = task.chunks.splits[2]
            .iter()
            .map(|chunk| {
                let mut rows = vec![-9.0; task.chunks.rows() * CLASSES];
                let inside = |at: &(usize, i64)| (0..100).contains(&at.1);
                for (class, at) in task.near(Split::Test, *chunk).filter(inside) {
                    rows[(task.config.margin + at as usize) * CLASSES + class + 1] = 9.0;
                }
                rows
            })
            .collect();
        let classes: std::collections::BTreeSet<usize> =
            task.actions[2].iter().flatten().flatten().map(|(class, _)| *class).collect();
        let score = measured(&task, &outputs);
        // Classes without an action in the test games count 0.
        let expected = classes.len() as f64 / ACTIONS.len() as f64;
        assert!((score.mean("a_mAP") - expected).abs() < 1e-9, "{}", score.mean("a_mAP"));
        assert!((score.mean("a_mAP_tight") - expected).abs() < 1e-9);
        assert!(score.mean("a_mAP_2022") <= expected + 1e-9);
        let nothing: Vec<Vec<f32>> = outputs.iter().map(|rows| vec![-99.0; rows.len()]).collect();
        assert!(measured(&task, &nothing).mean("a_mAP") < 0.5 * expected);
    }

    #[test]
    fn targets_are_the_windows_around_actions_and_the_loss_is_binary_cross_entropy() {
        let task = task(SpottingLoss::Bce);
        let batch = task.batch(Split::Train, &[0, 1], &Device::flex());
        let targets = batch.targets.clone().unwrap();
        assert_eq!((targets.dims(), batch.labels.dims()), ([2, 100, 18], [2, 120]));
        let values: Vec<f32> = targets.into_data().iter::<f32>().collect();
        for row in values.chunks(CLASSES) {
            assert_eq!(row[0] == 1.0, row[1..].iter().all(|value| *value == 0.0));
        }
        // Three frames of an action at least: one second is two frames, and a window of two seconds has
        // one second on either side.
        let (class, at) = task.near(Split::Train, task.chunks.splits[0][0]).next().unwrap();
        let hit = |frame: i64| values[frame as usize * CLASSES + class + 1];
        assert_eq!([hit(at - 1), hit(at), hit(at + 1)], [1.0; 3]);
        let logits = Tensor::zeros([2, 120, 18], &Device::flex());
        let loss = task.loss(logits, &batch).into_scalar::<f32>();
        assert!((loss - 2_f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn one_spot_of_a_window_is_kept() {
        let scores = [0.1, 0.9, 0.8, 0.0, 0.7, 0.6];
        assert_eq!(peaks(6, 2, |frame| scores[frame]), [1, 4]);
        assert_eq!(peaks(6, 0, |frame| scores[frame]), [1, 2, 4, 5, 0]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let error = |change: fn(&mut SpottingConfig)| {
            let mut config = SpottingConfig::default();
            change(&mut config);
            check(&config).unwrap_err()
        };
        assert!(error(|c| c.chunk = 0).contains("chunk = 0"));
        assert!(error(|c| c.window = 0.0).contains("window = 0"));
        assert!(error(|c| c.context = Some([-1.0, -2.0, 3.0, 4.0])).contains("K1 < K2 < 0 < K3"));
    }
}
