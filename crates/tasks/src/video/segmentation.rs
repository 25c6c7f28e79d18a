//! Camera-shot segmentation: the kind of camera, out of 13, that shows a frame.
//!
//! Deliège et al. *SoccerNet-v2*. <https://arxiv.org/abs/2011.13367>: its basic model minimises the squared
//! distance of probabilities to the true class. The measures are those of the official development kit.

use std::{collections::BTreeMap, sync::Arc};

use burn::prelude::*;
use moe::{Domain, config};
use serde::{Deserialize, Serialize};
use soccernet::{
    Measured, Options, Source, Task as Official,
    classes::CAMERAS,
    npy::{self, Array},
};

use super::{
    chunks::Chunks,
    games::{Game, Games, Half},
    games_config::{GamesConfig, List},
    spotting::kinds,
};
use crate::{
    Batch, DataDir, DataError, LoadTask, Score, Split, Task, WholeSplitTask,
    data::files::{fault, wrong},
    official::official_measures,
    score::{classification, constant},
    trivial::ClassMeans,
};

const FILE: &str = "Labels-cameras.json";

/// The loss of segmentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SegmentationLoss {
    /// Cross-entropy.
    CrossEntropy,
    /// The mean squared distance of the probabilities to 0 and 1, as in the basic model.
    Squared,
}

config! {
    /// The games, and how they are shown.
    pub struct SegmentationConfig {
        /// The games.
        pub games: GamesConfig = GamesConfig::default(),
        /// The number of frames of an example that count, at two per second.
        pub chunk: usize = 120,
        /// The number of frames before and after them that are shown and do not count.
        pub margin: usize = 20,
        /// The loss: `"cross-entropy"` or `"squared"`.
        pub loss: SegmentationLoss = SegmentationLoss::CrossEntropy,
    }
}

/// Camera-shot segmentation.
pub struct Segmentation {
    config: SegmentationConfig,
    games: Games,
    chunks: Chunks,
    /// Kinds of camera by split, game, half and frame.
    cameras: [Vec<[Vec<usize>; 2]>; 3],
}

impl LoadTask for Segmentation {
    type Config = SegmentationConfig;
    const NAME: &'static str = "camera-segmentation";
    const ABOUT: &'static str = "kind of camera in football games, from frame features";
    const SOURCE: &'static str =
        "generated, or https://www.soccer-net.org (non-disclosure agreement)";

    fn load(config: &SegmentationConfig, data: &DataDir) -> Result<Arc<dyn Task>, DataError> {
        Chunks::check(config.chunk, config.margin).map_err(|message| wrong(Self::NAME, message))?;
        let games = Games::load(Self::NAME, &config.games, List::Cameras, &[FILE], data)?;
        Ok(Arc::new(Self::new(config, games)?))
    }
}

/// Kinds of camera by split, game, half and frame.
pub(super) fn cameras(games: &Games) -> Result<[Vec<[Vec<usize>; 2]>; 3], DataError> {
    let mut cameras = [vec![], vec![], vec![]];
    for (split, all) in games.splits.iter().enumerate() {
        for game in all {
            cameras[split].push(kinds(game, 0).map_err(fault)?);
        }
    }
    Ok(cameras)
}

impl Segmentation {
    fn new(config: &SegmentationConfig, games: Games) -> Result<Self, DataError> {
        let chunks = Chunks::new(&games, config.chunk, config.margin);
        Ok(Self { config: config.clone(), cameras: cameras(&games)?, games, chunks })
    }

    fn inner(&self, rows: Tensor<3>) -> Tensor<3> {
        rows.narrow(1, self.chunks.margin, self.config.chunk)
    }

    /// The official measures of kinds of camera by game, half and frame: smoothed and not.
    fn official(&self, split: Split, classes: &[[Vec<f64>; 2]]) -> [f64; 2] {
        let seen = arrays(&self.games.splits[split as usize], classes, "segmentation");
        let truth = self.games.truth(split as usize, FILE);
        let official = Official::Segmentation;
        let of = |found: Measured| match found {
            Measured::Segmentation(found) => Some([found.mean, found.unsmoothed]),
            _ => None,
        };
        official_measures(official, &Options::of(official), [&truth, &seen], of)
    }

    fn inner_labels(&self, labels: Tensor<2, Int>) -> Tensor<2, Int> {
        labels.narrow(1, self.chunks.margin, self.config.chunk)
    }
}

/// Files of a submission: for each half of each game an array with one number per frame.
pub(super) fn arrays(games: &[Game], values: &[[Vec<f64>; 2]], end: &str) -> Source {
    let mut files = BTreeMap::new();
    for (game, halves) in games.iter().zip(values) {
        for (half, values) in halves.iter().enumerate() {
            let array = Array { shape: vec![values.len()], data: values.clone() };
            files
                .insert(format!("{}/{}_{end}.npy", game.name, half + 1), npy::write(&array, false));
        }
    }
    Source::memory("arrays", files)
}

/// The index of the largest number of a row, the first of equal ones.
fn largest<N: PartialOrd>(row: &[N]) -> f64 {
    let better = |best: usize, at: usize| if row[at] > row[best] { at } else { best };
    (1..row.len()).fold(0, better) as f64
}

impl Task for Segmentation {
    fn domain(&self) -> Domain {
        self.chunks.domain(self.games.width)
    }

    fn outputs(&self) -> usize {
        CAMERAS.len()
    }

    fn takes(&self, answers: usize) -> Result<(), String> {
        super::for_each_frame(answers, self.chunks.rows())
    }

    fn is_classification(&self) -> bool {
        false
    }

    fn causal(&self) -> bool {
        false
    }

    fn metrics(&self) -> &[&'static str] {
        &["mIoU", "mIoU_unsmoothed", "accuracy", "loss"]
    }

    fn len(&self, split: Split) -> usize {
        self.chunks.splits[split as usize].len()
    }

    fn batch(&self, split: Split, examples: &[usize], device: &Device) -> Batch {
        let chunks = self.chunks.of(split, examples);
        self.chunks.batch(&self.games, split, &self.cameras[split as usize], &chunks, device)
    }

    fn loss(&self, output: Tensor<3>, batch: &Batch) -> Tensor<1> {
        let (output, labels) = (self.inner(output), self.inner_labels(batch.labels.clone()));
        match self.config.loss {
            SegmentationLoss::CrossEntropy => kernels::mean(crate::cross_entropy(output, labels)),
            SegmentationLoss::Squared => {
                let truth: Tensor<3> = labels.one_hot::<3>(CAMERAS.len()).float();
                let truth = constant(&output, truth);
                kernels::mean((kernels::softmax(output, 2) - truth).square())
            }
        }
    }

    fn measure(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
        let labels = self.inner_labels(batch.labels.clone());
        classification(self.inner(output), &labels, score);
    }

    /// Classification of each frame alone, by the means of the kinds of camera.
    fn trivial(&self) -> Vec<(&'static str, f64)> {
        let width = self.games.width;
        let mut rows = Vec::new();
        for (game, kinds) in self.games.splits[0].iter().zip(&self.cameras[0]) {
            for (half, kinds) in game.halves.iter().zip(kinds) {
                rows.extend(half.features.chunks(width).zip(kinds.iter().copied()));
            }
        }
        let means = ClassMeans::of(rows.into_iter(), [CAMERAS.len(), width]);
        let kind = |row: &[f32]| largest(&means.scores(row));
        let of = |half: &Half| half.features.chunks(width).map(kind).collect::<Vec<f64>>();
        let games = self.games.splits[2].iter();
        let classes: Vec<_> = games.map(|game| game.halves.each_ref().map(of)).collect();
        let [mean, unsmoothed] = self.official(Split::Test, &classes);
        vec![("mIoU", mean), ("mIoU_unsmoothed", unsmoothed)]
    }

    fn as_whole_split(&self) -> Option<&dyn WholeSplitTask> {
        Some(self)
    }
}

impl WholeSplitTask for Segmentation {
    fn measure_whole(&self, split: Split, outputs: &[Vec<f32>], score: &mut Score) {
        let (games, chunks) =
            (&self.games.splits[split as usize], &self.chunks.splits[split as usize]);
        let joined = self.chunks.join(games, chunks, outputs, CAMERAS.len());
        let classes: Vec<[Vec<f64>; 2]> = joined
            .into_iter()
            .map(|halves| halves.map(|half| half.chunks(CAMERAS.len()).map(largest).collect()))
            .collect();
        let [mean, unsmoothed] = self.official(split, &classes);
        score.add("mIoU", mean, 1);
        score.add("mIoU_unsmoothed", unsmoothed, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(loss: SegmentationLoss) -> Segmentation {
        let games =
            GamesConfig { train: 2, valid: 1, test: 1, minutes: 2, width: 4, ..Default::default() };
        let config = SegmentationConfig { games, chunk: 50, margin: 5, loss };
        let games =
            Games::load("t", &config.games, List::Cameras, &[FILE], &DataDir::default()).unwrap();
        Segmentation::new(&config, games).unwrap()
    }

    #[test]
    fn the_labels_themselves_are_perfect() {
        let task = task(SegmentationLoss::Squared);
        let all: Vec<usize> = (0..task.len(Split::Test)).collect();
        let batch = task.batch(Split::Test, &all, &Device::flex());
        assert!(task.takes(60).is_ok() && task.takes(65).is_ok());
        assert!(task.takes(1).unwrap_err().contains("needs 60 answers"));
        let output: Tensor<3> = batch.labels.clone().one_hot::<3>(13).float() * 60.0;
        assert!(task.loss(output.clone(), &batch).into_scalar::<f32>() < 1e-9);
        // Uniform probabilities: (12 / 13)^2 + 12 / 13^2 over 13 classes.
        let loss = task.loss(output.zeros_like(), &batch).into_scalar::<f32>();
        assert!((loss - (144.0 + 12.0) / 169.0 / 13.0).abs() < 1e-6, "{loss}");
        let values: Vec<f32> = output.into_data().iter::<f32>().collect();
        let outputs: Vec<Vec<f32>> = values.chunks(60 * 13).map(<[f32]>::to_vec).collect();
        let mut score = Score::default();
        task.measure_whole(Split::Test, &outputs, &mut score);
        assert_eq!((score.mean("mIoU"), score.mean("mIoU_unsmoothed")), (1.0, 1.0));
    }

    #[test]
    fn single_frames_tell_most_kinds_of_camera_by_their_means() {
        let config = SegmentationConfig {
            games: GamesConfig::few(),
            chunk: 50,
            margin: 5,
            ..Default::default()
        };
        let games =
            Games::load("t", &config.games, List::Cameras, &[FILE], &DataDir::default()).unwrap();
        let task = Segmentation::new(&config, games).unwrap();
        let first = |game: &Game| game.halves.each_ref().map(|half| vec![0.0; half.frames]);
        let always_the_first: Vec<_> = task.games.splits[2].iter().map(first).collect();
        let [_, guess] = task.official(Split::Test, &always_the_first);
        let trivial = task.trivial();
        let [("mIoU", _), ("mIoU_unsmoothed", unsmoothed)] = trivial[..] else {
            panic!("{trivial:?}")
        };
        assert!(unsmoothed > 2.0 * guess, "{trivial:?} {guess}");
    }
}
