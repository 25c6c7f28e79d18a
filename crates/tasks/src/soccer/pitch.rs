//! Pitch localisation and camera calibration: the ends of the pitch's lines in an image, and the camera that
//! sees them there.
//!
//! Magera et al. *A Universal Protocol to Benchmark Camera Calibration for Sports*.
//! <https://arxiv.org/abs/2404.09807>; the challenges 3 and 4 of SoccerNet 2022.
//!
//! A network answers with one row, or with one row for each of many places. A row has for each class of lines
//! whether it is in the image, and its two ends. Localisation is measured on the ends. For calibration a
//! camera is fitted to the ends (`fit.rs`); an image whose lines the camera misses by more than some pixels
//! gets no camera, which costs completeness and not accuracy.
//!
//! Differs from the published baseline: ends are regressed, not taken from a segmentation.

use std::{collections::BTreeMap, sync::Arc};

use burn::prelude::*;
use moe::{Domain, Input, config};
use soccernet::{
    Measured, Options, Source, Task as Official,
    format::{cameras, lines::Lines},
    pitch::class::LINES,
};

use super::{
    fit::{Fitted, fit},
    images::{PitchImage, SoccerImagesConfig, load},
};
use crate::{
    Batch, DataDir, DataError, LoadTask, Score, Split, Task, WholeSplitTask,
    official::official_measures, score::constant, trivial::nearest_rows,
};

/// The outputs of a class: whether it is in the image, and its two ends.
const COLUMNS: usize = 5;
/// The class that has no ends.
const CLOSED: &str = "Circle central";
/// The maximum distance in pixels of a camera from the lines that it was fitted to: a choice of this project.
const REJECT: f64 = 10.0;
/// Several such limits, [`REJECT`] among them, and the name of the measure for each.
const REJECTIONS: [(f64, &str); 5] = [
    (1.0, "final_at_1"),
    (3.0, "final_at_3"),
    (10.0, "final_at_10"),
    (30.0, "final_at_30"),
    (f64::INFINITY, "final_at_all"),
];

config! {
    /// The images for localisation and calibration.
    pub struct PitchConfig {
        /// The images.
        #[serde(alias = "pictures")]
        pub images: SoccerImagesConfig = SoccerImagesConfig::default(),
    }
}

/// Pitch localisation.
pub struct PitchLocalization(Pitch);

/// Camera calibration.
pub struct CameraCalibration(Pitch);

/// The part that both tasks share.
struct Pitch {
    config: PitchConfig,
    images: [Vec<PitchImage>; 3],
}

/// Classes with ends.
fn classes() -> impl Iterator<Item = &'static str> {
    LINES.into_iter().filter(|class| *class != CLOSED)
}

fn outputs() -> usize {
    classes().count() * COLUMNS
}

impl Pitch {
    fn load(task: &str, config: &PitchConfig, data: &DataDir) -> Result<Self, DataError> {
        Ok(Self { config: config.clone(), images: load(task, &config.images, data)? })
    }

    fn domain(&self) -> Domain {
        let [height, width] = self.config.images.shape();
        Domain::Image { channels: 1, height, width }
    }

    fn batch(&self, split: Split, examples: &[usize], device: &Device) -> Batch {
        let (b, [height, width]) = (examples.len(), self.config.images.shape());
        let all = &self.images[split as usize];
        let pixels: Vec<f32> =
            examples.iter().flat_map(|example| all[*example].pixels.iter().copied()).collect();
        let targets: Vec<f32> =
            examples.iter().flat_map(|example| targets(&all[*example].lines)).collect();
        let input = Tensor::from_data(TensorData::new(pixels, [b, 1, height, width]), device);
        let batch = Batch::new(Input::Image(input), Tensor::zeros([b, 1], device));
        let targets = Tensor::from_data(TensorData::new(targets, [b, 1, outputs()]), device);
        Batch { targets: Some(targets), ..batch }
    }

    /// The output for the image, `[B, 1, outputs]`, from one row or from one row per place. The places vote:
    /// the ends of a place are relative to its middle, and its vote for a class is weighted by the softmax,
    /// over the places, of its logit for the presence of the class.
    fn joined(&self, output: Tensor<3>) -> Tensor<3> {
        let ([b, places, _], [height, width]) = (output.dims(), self.config.images.shape());
        if places == 1 {
            return output;
        }
        let side = ((height * width) as f64 / places as f64).sqrt().round().max(1.0);
        let columns = (width as f64 / side).ceil() as usize;
        let rows = places.div_ceil(columns);
        let middle = |at: usize, of: usize| (at as f32 + 0.5) / of as f32;
        let middles = (0..places).flat_map(|place| {
            let [x, y] = [middle(place % columns, columns), middle(place / columns, rows)];
            [0.0, x, y, x, y]
        });
        let middles = TensorData::new(middles.collect::<Vec<f32>>(), [1, places, 1, COLUMNS]);
        let middles = Tensor::<4>::from_data(middles, &output.device().inner());
        let middles = constant(&output, middles);
        let votes = output.reshape([b, places, outputs() / COLUMNS, COLUMNS]) + middles;
        let shares = kernels::softmax(votes.clone().narrow(3, 0, 1), 1);
        (votes * shares).sum_dim(1).reshape([b, 1, outputs()])
    }

    /// The joined outputs of a split.
    fn joined_rows(&self, rows: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let joined = |row: &Vec<f32>| {
            let shape = [1, row.len() / outputs(), outputs()];
            let row = Tensor::<3>::from_data(TensorData::new(row.clone(), shape), &Device::flex());
            self.joined(row).into_data().iter::<f32>().collect()
        };
        rows.iter().map(joined).collect()
    }

    /// The binary cross-entropy of the presence of classes, plus the mean absolute error of the ends, in
    /// tenths of the image.
    fn loss(&self, output: Tensor<3>, batch: &Batch) -> Tensor<1> {
        let targets = batch.targets.clone().expect("a batch of this task has targets");
        let targets = constant(&output, targets);
        let output = self.joined(output);
        let [b, ..] = output.dims();
        let shape = [b, outputs() / COLUMNS, COLUMNS];
        let (output, targets) = (output.reshape(shape), targets.reshape(shape));
        let part = |of: &Tensor<3>, from: usize, n: usize| of.clone().narrow(2, from, n);
        let (there, seen) = (part(&targets, 0, 1), part(&output, 0, 1));
        let soft = (seen.clone().abs().neg().exp() + 1.0).log();
        let presence = kernels::mean(seen.clone().clamp_min(0.0) - seen * there.clone() + soft);
        let away = (part(&output, 1, 4) - part(&targets, 1, 4)).abs() * there.clone();
        let ends = kernels::sum(away) / (kernels::sum(there) * 4.0 + 1e-6);
        presence + ends * 10.0
    }

    fn measure(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
        score.add_loss(self.loss(output, batch), batch);
    }

    /// For each image of the test split, the output of a baseline that answers with the lines of the training
    /// image whose pixels are nearest.
    fn nearest(&self) -> Vec<Vec<f32>> {
        let pixels = |images: &[PitchImage]| {
            let size = [images.len(), self.config.images.shape().iter().product()];
            let values: Vec<f32> = images.iter().flat_map(|image| image.pixels.clone()).collect();
            Tensor::<2>::from_data(TensorData::new(values, size), &Device::flex())
        };
        let [train, _, test] = &self.images;
        let found = nearest_rows(pixels(train), pixels(test));
        found.into_iter().map(|image| sure(&train[image].lines)).collect()
    }

    fn truth(&self, split: Split) -> Source {
        let file = |image: &PitchImage| (format!("test/{}.json", image.name), image.truth.clone());
        Source::memory("truth", self.images[split as usize].iter().map(file).collect())
    }

    /// Accuracies at 5, 10 and 20 pixels of a submission of files with this prefix.
    fn official(
        &self,
        official: Official,
        split: Split,
        prefix: &str,
        files: &[(usize, Vec<u8>)],
    ) -> [[f64; 3]; 3] {
        let all = &self.images[split as usize];
        let file = |(at, bytes): &(usize, Vec<u8>)| {
            (format!("test/{prefix}_{}.json", all[*at].name), bytes.clone())
        };
        let files: BTreeMap<String, Vec<u8>> = files.iter().map(file).collect();
        let (truth, seen) = (self.truth(split), Source::memory("images", files));
        let of = |found: Measured| -> Option<[f64; 9]> {
            let all: Vec<[f64; 3]> = match found {
                Measured::Localization(all) => {
                    all.iter().map(|one| [one.accuracy, 1.0, one.accuracy]).collect()
                }
                Measured::Calibration(all) => {
                    all.iter().map(|one| [one.accuracy, one.completeness, one.ranking]).collect()
                }
                _ => return None,
            };
            all.concat().try_into().ok()
        };
        let all: [f64; 9] =
            official_measures(official, &Options::of(official), [&truth, &seen], of);
        [0, 3, 6].map(|at: usize| [all[at], all[at + 1], all[at + 2]])
    }
}

/// The targets of an image: for each class whether it is in the image, and its ends.
fn targets(lines: &Lines) -> Vec<f32> {
    let of = |class: &str| {
        let points = lines.lines.iter().find(|(name, _)| name == class).map(|(_, points)| points);
        match points.filter(|points| !points.is_empty()) {
            Some(points) => {
                let (a, b) = (points[0], points[points.len() - 1]);
                [1.0, a[0], a[1], b[0], b[1]].map(|value: f64| value as f32)
            }
            None => [0.0; COLUMNS],
        }
    };
    classes().flat_map(of).collect()
}

/// The output of a network that is sure of these lines.
fn sure(lines: &Lines) -> Vec<f32> {
    let mut row = targets(lines);
    row.chunks_mut(COLUMNS).for_each(|class| class[0] = 20.0 * class[0] - 10.0);
    row
}

/// The lines that are present according to an output.
fn found(output: &[f32]) -> Lines {
    let rows = classes().zip(output.chunks(COLUMNS)).filter(|(_, row)| row[0] > 0.0);
    let line = |(class, row): (&str, &[f32])| {
        let point = |at: usize| [f64::from(row[at]), f64::from(row[at + 1])];
        (class.to_string(), vec![point(1), point(3)])
    };
    Lines { lines: rows.map(line).collect() }
}

/// Implements a task; both tasks differ only in their names and measures.
macro_rules! pitch_task {
    ($task:ident, $metrics:expr) => {
        impl Task for $task {
            fn domain(&self) -> Domain {
                self.0.domain()
            }
            fn outputs(&self) -> usize {
                outputs()
            }
            fn is_classification(&self) -> bool {
                false
            }
            fn causal(&self) -> bool {
                false
            }
            fn metrics(&self) -> &[&'static str] {
                $metrics
            }
            fn len(&self, split: Split) -> usize {
                self.0.images[split as usize].len()
            }
            fn batch(&self, split: Split, examples: &[usize], device: &Device) -> Batch {
                self.0.batch(split, examples, device)
            }
            fn loss(&self, output: Tensor<3>, batch: &Batch) -> Tensor<1> {
                self.0.loss(output, batch)
            }
            fn measure(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
                self.0.measure(output, batch, score);
            }
            /// The lines of the nearest training image.
            fn trivial(&self) -> Vec<(&'static str, f64)> {
                let mut score = Score::default();
                self.measure_whole(Split::Test, &self.0.nearest(), &mut score);
                score.values()
            }
            fn as_whole_split(&self) -> Option<&dyn WholeSplitTask> {
                Some(self)
            }
        }
    };
}

pitch_task!(
    PitchLocalization,
    &["AC_5", "AC_10", "AC_20", "AC_10_over_5", "AC_20_over_10", "loss"]
);
pitch_task!(
    CameraCalibration,
    &[
        "final",
        "AC_5",
        "AC_10",
        "AC_20",
        "completeness",
        "final_at_1",
        "final_at_3",
        "final_at_10",
        "final_at_30",
        "final_at_all",
        "best_over_ends",
        "loss",
    ]
);

impl LoadTask for PitchLocalization {
    type Config = PitchConfig;
    const NAME: &'static str = "pitch-localization";
    const ABOUT: &'static str = "localisation of the lines of a football pitch in an image";
    const SOURCE: &'static str =
        "generated, or https://www.soccer-net.org (non-disclosure agreement)";

    fn load(config: &PitchConfig, data: &DataDir) -> Result<Arc<dyn Task>, DataError> {
        Ok(Arc::new(Self(Pitch::load(Self::NAME, config, data)?)))
    }
}

impl LoadTask for CameraCalibration {
    type Config = PitchConfig;
    const NAME: &'static str = "camera-calibration";
    const ABOUT: &'static str = "camera calibration from the lines of a football pitch";
    const SOURCE: &'static str =
        "generated, or https://www.soccer-net.org (non-disclosure agreement)";

    fn load(config: &PitchConfig, data: &DataDir) -> Result<Arc<dyn Task>, DataError> {
        Ok(Arc::new(Self(Pitch::load(Self::NAME, config, data)?)))
    }
}

impl WholeSplitTask for PitchLocalization {
    fn measure_whole(&self, split: Split, outputs: &[Vec<f32>], score: &mut Score) {
        let files: Vec<(usize, Vec<u8>)> =
            self.0.joined_rows(outputs).iter().map(|row| found(row).write()).enumerate().collect();
        let at = self.0.official(Official::Localization2022, split, "extremities", &files);
        let [five, ten, twenty] = [at[0][0], at[1][0], at[2][0]];
        for (name, value) in [
            ("AC_5", five),
            ("AC_10", ten),
            ("AC_20", twenty),
            ("AC_10_over_5", ten - five),
            ("AC_20_over_10", twenty - ten),
        ] {
            score.add(name, value, 1);
        }
    }
}

impl WholeSplitTask for CameraCalibration {
    fn measure_whole(&self, split: Split, outputs: &[Vec<f32>], score: &mut Score) {
        let outputs = self.0.joined_rows(outputs);
        let fitted: Vec<Option<Fitted>> = outputs.iter().map(|row| fit(&found(row))).collect();
        let within = |reject: f64| -> [[f64; 3]; 3] {
            let kept = fitted.iter().enumerate().filter_map(|(at, fitted)| {
                let fitted = fitted.as_ref().filter(|fitted| fitted.error <= reject)?;
                Some((at, cameras::write(&fitted.camera)))
            });
            let files: Vec<(usize, Vec<u8>)> = kept.collect();
            self.0.official(Official::Calibration2022, split, "camera", &files)
        };
        let chosen = within(REJECT);
        score.add("final", chosen[0][2], 1);
        score.add("completeness", chosen[0][1], 1);
        for (name, at) in ["AC_5", "AC_10", "AC_20"].into_iter().zip(&chosen) {
            score.add(name, at[0], 1);
        }
        let finals: Vec<f64> = REJECTIONS.iter().map(|(reject, _)| within(*reject)[0][2]).collect();
        REJECTIONS.iter().zip(&finals).for_each(|((_, name), value)| score.add(name, *value, 1));
        let [first, .., last] = finals[..] else { return };
        let best = finals[1..finals.len() - 1].iter().copied().fold(0.0, f64::max);
        score.add("best_over_ends", best - first.max(last), 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soccer::images::tests::small;

    fn pitch() -> Pitch {
        let config = PitchConfig { images: small() };
        Pitch::load("t", &config, &DataDir::default()).unwrap()
    }

    /// The outputs of a network that knows the lines.
    fn known(pitch: &Pitch) -> Vec<Vec<f32>> {
        pitch.images[2].iter().map(|image| sure(&image.lines)).collect()
    }

    #[test]
    fn the_nearest_image_is_perfect_if_it_is_the_same_one() {
        let mut pitch = pitch();
        let near = PitchLocalization(self::pitch()).trivial();
        let of = |trivial: &[(&'static str, f64)], name: &str| {
            trivial.iter().find(|(known, _)| *known == name).unwrap().1
        };
        assert!(of(&near, "AC_20") < 0.9, "{near:?}");
        let [.., same] = load("t", &pitch.config.images, &DataDir::default()).unwrap();
        pitch.images[0] = same;
        assert_eq!(of(&PitchLocalization(pitch).trivial(), "AC_5"), 1.0);
    }

    #[test]
    fn who_knows_the_ends_is_perfect() {
        let task = PitchLocalization(pitch());
        let (outputs, mut score) = (known(&task.0), Score::default());
        task.measure_whole(Split::Test, &outputs, &mut score);
        assert_eq!(["AC_5", "AC_20", "AC_10_over_5"].map(|name| score.mean(name)), [1.0, 1.0, 0.0]);
        let batch = task.batch(Split::Test, &[0, 1, 2, 3], &Device::flex());
        let output = TensorData::new(outputs.concat(), [4, 1, outputs[0].len()]);
        let loss = task.loss(Tensor::from_data(output, &Device::flex()), &batch);
        assert!(loss.into_scalar::<f32>() < 1e-3);
    }

    #[test]
    fn places_vote_by_how_sure_they_are() {
        let pitch = pitch();
        // Two rows of four places; the sixth, in the middle of the lower left quarter's right half, is sure.
        let mut votes = vec![0.0_f32; 8 * outputs()];
        votes[5 * outputs()] = 50.0;
        votes[5 * outputs() + 1] = 0.125;
        let joined = &pitch.joined_rows(&[votes])[0];
        let near = |a: f32, b: f32| assert!((a - b).abs() < 1e-4, "{a} {b}");
        near(joined[0], 50.0);
        near(joined[1], 0.375 + 0.125);
        near(joined[2], 0.75);
        // If all places are equally unsure, the result is the middle.
        near(joined[COLUMNS + 3], 0.5);
    }

    #[test]
    fn a_camera_fitted_to_the_true_ends_sees_the_lines() {
        let task = CameraCalibration(pitch());
        let mut score = Score::default();
        task.measure_whole(Split::Test, &known(&task.0), &mut score);
        assert!(score.mean("completeness") > 0.7, "{score:?}");
        assert!(score.mean("AC_5") > 0.8, "{score:?}");
        assert!(score.mean("final_at_all") >= score.mean("final_at_1"), "{score:?}");
    }
}
