//! Shot boundaries: detection of the frames at which one shot ends and the next one begins.
//!
//! Deliège et al. *SoccerNet-v2*. <https://arxiv.org/abs/2011.13367>. The measures are those of the official
//! development kit, over all boundaries and for each kind of change. The baselines without learning are
//! reported beside them: their confidence is the change of features from one frame to the next, by distance,
//! by mean absolute difference and by histograms.

use std::sync::Arc;

use burn::prelude::*;
use moe::{Domain, config};
use serde_json::Value;
use soccernet::{Measured, Options, Task as Official, classes::CHANGES, cuts::FrameChange};

use super::{
    chunks::Chunks,
    games::{Game, Games},
    games_config::{GamesConfig, List},
    segmentation::{arrays, cameras},
    spotting::bce,
};
use crate::{
    Batch, DataDir, DataError, LoadTask, Score, Split, Task, WholeSplitTask,
    data::files::{fault, wrong},
    official::official_measures,
};

const FILE: &str = "Labels-cameras.json";
/// The average precision, and that of each kind of change in the order of `CHANGES`.
const MEASURES: [&str; 4] = ["mAP", "mAP_abrupt", "mAP_smooth", "mAP_logo"];
/// The average precision by each kind of change of frames, in the order of `FrameChange::ALL`.
const WITHOUT_LEARNING: [&str; 3] =
    ["mAP_change_of_features", "mAP_change_of_intensity", "mAP_change_of_histogram"];

config! {
    /// The games, and how they are shown.
    pub struct BoundaryConfig {
        /// The games.
        pub games: GamesConfig = GamesConfig::default(),
        /// The number of frames of an example that count, at two per second.
        pub chunk: usize = 120,
        /// The number of frames before and after them that are shown and do not count.
        pub margin: usize = 10,
    }
}

/// Shot boundaries.
pub struct Boundary {
    config: BoundaryConfig,
    games: Games,
    chunks: Chunks,
    /// Whether a shot ends, by split, game, half and frame.
    ends: [Vec<[Vec<bool>; 2]>; 3],
    /// Kinds of camera by split, game, half and frame.
    cameras: [Vec<[Vec<usize>; 2]>; 3],
}

impl LoadTask for Boundary {
    type Config = BoundaryConfig;
    const NAME: &'static str = "shot-boundary";
    const ABOUT: &'static str = "boundaries of camera shots in football games, from frame features";
    const SOURCE: &'static str =
        "generated, or https://www.soccer-net.org (non-disclosure agreement)";

    fn load(config: &BoundaryConfig, data: &DataDir) -> Result<Arc<dyn Task>, DataError> {
        Chunks::check(config.chunk, config.margin).map_err(|message| wrong(Self::NAME, message))?;
        let games = Games::load(Self::NAME, &config.games, List::Cameras, &[FILE], data)?;
        Ok(Arc::new(Self::new(config, games)?))
    }
}

/// The ends of shots by one of the three kinds of change: the last frame of each.
fn ends(game: &Game) -> soccernet::Result<[Vec<bool>; 2]> {
    let shots = game.shots(0, FILE)?;
    Ok([0, 1].map(|half: usize| {
        let mut ends = vec![false; game.halves[half].frames];
        let here = shots.annotations.iter().filter(|shot| shot.time.half == half as i64 + 1);
        for shot in here.filter(|shot| CHANGES.contains(&&*shot.change)) {
            let frame = (shot.time.frame() - 1).clamp(0, ends.len() as i64 - 1);
            ends[frame as usize] = true;
        }
        ends
    }))
}

impl Boundary {
    fn new(config: &BoundaryConfig, games: Games) -> Result<Self, DataError> {
        let mut all = [vec![], vec![], vec![]];
        for (ends_of, games) in all.iter_mut().zip(&games.splits) {
            for game in games {
                ends_of.push(ends(game).map_err(fault)?);
            }
        }
        let chunks = Chunks::new(&games, config.chunk, config.margin);
        Ok(Self { config: config.clone(), ends: all, cameras: cameras(&games)?, games, chunks })
    }

    /// The [`MEASURES`] by the official evaluator, for confidences by game, half and frame.
    fn official(&self, split: Split, confidences: &[[Vec<f64>; 2]]) -> [f64; 4] {
        let seen = arrays(&self.games.splits[split as usize], confidences, "boundary");
        let truth = self.games.truth(split as usize, FILE);
        let official = Official::Boundary;
        let of = |found: Measured| match found {
            Measured::Boundary(found) => {
                let of = |change: &str| found.per_change.get(change).and_then(Value::as_f64);
                let [abrupt, smooth, logo] = CHANGES.map(|change| of(change).unwrap_or_default());
                Some([found.average, abrupt, smooth, logo])
            }
            _ => None,
        };
        official_measures(official, &Options::of(official), [&truth, &seen], of)
    }

    /// The average precision of a split by a measure of frame change.
    fn without_learning(&self, split: Split, change: FrameChange) -> f64 {
        let of = |game: &Game| {
            game.halves.each_ref().map(|half| change.of(&half.features, self.games.width))
        };
        let games = &self.games.splits[split as usize];
        let confidences: Vec<[Vec<f64>; 2]> = games.iter().map(of).collect();
        self.official(split, &confidences)[0]
    }
}

impl Task for Boundary {
    fn domain(&self) -> Domain {
        self.chunks.domain(self.games.width)
    }

    fn outputs(&self) -> usize {
        1
    }

    fn takes(&self, answers: usize) -> Result<(), String> {
        super::for_each_frame(answers, self.chunks.rows())
    }

    fn causal(&self) -> bool {
        false
    }

    fn metrics(&self) -> &[&'static str] {
        &[
            "mAP",
            "mAP_abrupt",
            "mAP_smooth",
            "mAP_logo",
            "mAP_change_of_features",
            "mAP_change_of_intensity",
            "mAP_change_of_histogram",
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
        let mut targets = vec![0.0_f32; chunks.len() * self.config.chunk];
        for (target, chunk) in targets.chunks_mut(self.config.chunk).zip(&chunks) {
            let ends = &self.ends[split as usize][chunk.game][chunk.half];
            let here = ends.iter().skip(chunk.start);
            target.iter_mut().zip(here).for_each(|(target, end)| *target = f32::from(*end));
        }
        let targets = TensorData::new(targets, [chunks.len(), self.config.chunk, 1]);
        Batch { targets: Some(Tensor::from_data(targets, device)), ..batch }
    }

    fn loss(&self, output: Tensor<3>, batch: &Batch) -> Tensor<1> {
        let targets = batch.targets.clone().expect("a batch of this task has targets");
        bce(output.narrow(1, self.chunks.margin, self.config.chunk), targets)
    }

    fn measure(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
        score.add_loss(self.loss(output, batch), batch);
    }

    /// The measure of frame change that finds the boundaries of the validation split best.
    fn trivial(&self) -> Vec<(&'static str, f64)> {
        let on_valid = |change: &FrameChange| self.without_learning(Split::Valid, *change);
        let best = FrameChange::ALL.into_iter().max_by(|a, b| on_valid(a).total_cmp(&on_valid(b)));
        let of = |change| ("mAP", self.without_learning(Split::Test, change));
        best.map(of).into_iter().collect()
    }

    fn as_whole_split(&self) -> Option<&dyn WholeSplitTask> {
        Some(self)
    }
}

impl WholeSplitTask for Boundary {
    fn measure_whole(&self, split: Split, outputs: &[Vec<f32>], score: &mut Score) {
        let (games, chunks) =
            (&self.games.splits[split as usize], &self.chunks.splits[split as usize]);
        let probability = |x: f32| 1.0 / (1.0 + f64::from(-x).exp());
        let joined = self.chunks.join(games, chunks, outputs, 1).into_iter();
        let confidences: Vec<[Vec<f64>; 2]> = joined
            .map(|halves| halves.map(|half| half.into_iter().map(probability).collect()))
            .collect();
        for (name, value) in MEASURES.into_iter().zip(self.official(split, &confidences)) {
            score.add(name, value, 1);
        }
        for (name, change) in WITHOUT_LEARNING.into_iter().zip(FrameChange::ALL) {
            score.add(name, self.without_learning(split, change), 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boundaries_themselves_are_perfect_and_a_sharp_change_is_seen_without_learning() {
        let config = BoundaryConfig { games: GamesConfig::few(), chunk: 50, margin: 5 };
        let games =
            Games::load("t", &config.games, List::Cameras, &[FILE], &DataDir::default()).unwrap();
        let task = Boundary::new(&config, games).unwrap();
        let all: Vec<usize> = (0..task.len(Split::Test)).collect();
        let batch = task.batch(Split::Test, &all, &Device::flex());
        let inner = batch.targets.clone().unwrap() * 40.0 - 20.0;
        let edge = Tensor::<3>::ones([all.len(), 5, 1], &Device::flex());
        let output = Tensor::cat(vec![edge.clone(), inner, edge], 1);
        assert!(task.loss(output.clone(), &batch).into_scalar::<f32>() < 1e-6);
        let values: Vec<f32> = output.into_data().iter::<f32>().collect();
        let outputs: Vec<Vec<f32>> = values.chunks(60).map(<[f32]>::to_vec).collect();
        let mut score = Score::default();
        task.measure_whole(Split::Test, &outputs, &mut score);
        assert_eq!(["mAP", "mAP_abrupt"].map(|name| score.mean(name)), [1.0, 1.0]);
        let simple = score.mean("mAP_change_of_features");
        assert!(simple > 0.5 && simple < 1.0, "{simple}");
        let all = WITHOUT_LEARNING.map(|name| score.mean(name));
        let [("mAP", trivial)] = task.trivial()[..] else { panic!("{all:?}") };
        assert!(all.contains(&trivial), "{trivial} of {all:?}");
    }
}
