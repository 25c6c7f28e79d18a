//! Five kinds of rice, as RAW crops and as RGB crops of the same images.
//!
//! Kantas et al. *Raw Instinct: Trust Your Classifiers and Skip the Conversion*. 2024.
//! <https://arxiv.org/abs/2403.14439>. The pairs: <https://github.com/viborgen/p7_final>, crops of 40 x 40
//! pixels from images of a Phase One IQ4 150, 10 captures of each class.
//!
//! The values of a mosaic are normalised, 0 at black and 1 at white, before they are packed; those of RGB are
//! codes divided by 255. Fold f is for test, fold f + 1 for validation, the others for training, where f is
//! the run's seed: seeds 0 to 4 test each of five folds once. Runs of one seed have the same folds, so
//! differences over seeds are differences over folds.
//!
//! Differs from the authors' protocol, which takes 70, 21 and 9 % of the samples at random: samples are split
//! into folds, by default of whole captures.

use std::sync::Arc;

use ::raw::{Displacement, Form};
use burn::prelude::*;
use moe::{ConfigError, Domain, Input, config};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::{
    deal::{Deal, deal, splits},
    files, grains,
    set::Pairs,
};
use crate::{
    Batch, BatchPosition, DataDir, DataError, FoldedTask, LoadTask, Score, Split, Task,
    score::classification, trivial::nearest_neighbour, vision::Augment,
};

/// The form of the inputs of networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RiceInput {
    /// The RGB image, 3 x H x W.
    Rgb,
    /// The mosaic, 1 x H x W.
    Raw1,
    /// Three sparse planes, 3 x H x W.
    Raw3,
    /// Four planes, 4 x H/2 x W/2.
    Pack4,
    /// Three planes, 3 x H/2 x W/2.
    Pack3,
    /// The mosaic, for the backbone `bca`.
    Bca,
}

impl RiceInput {
    fn form(self) -> Option<Form> {
        match self {
            Self::Rgb => None,
            Self::Raw1 => Some(Form::Raw1),
            Self::Raw3 => Some(Form::Raw3),
            Self::Pack4 => Some(Form::Pack4),
            Self::Pack3 => Some(Form::Pack3),
            Self::Bca => Some(Form::Bca),
        }
    }
}

/// The source of the pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RiceSource {
    /// The published files.
    Files,
    /// Drawn by the program.
    Generated,
}

config! {
    /// The pairs that are used, and the form in which they are shown.
    pub struct RiceConfig {
        /// `"files"`, or `"generated"` for grains that the program draws.
        pub source: RiceSource = RiceSource::Files,
        /// `"rgb"`, or of the mosaic `"raw1"`, `"raw3"`, `"pack4"`, `"pack3"`, `"bca"`.
        pub input: RiceInput = RiceInput::Pack4,
        /// The samples that a fold keeps together: `"capture"`, or `"random"` for none.
        pub deal: Deal = Deal::Capture,
        /// The number of training samples, balanced over the classes; all if left out.
        pub train: Option<usize> = None,
        /// Random changes in training: a mosaic and its RGB image are moved together by whole squares of the
        /// pattern and flipped about a column of pixels, so that every pixel keeps its colour. The area that
        /// becomes visible is filled with the mirror image. `crop` is the largest move in pixels, an even
        /// number.
        pub augment: Augment = Augment::default(),
        /// Generated samples of each of the ten captures of a class.
        pub per_capture: usize = 20,
    }
}

/// Kinds of rice.
pub struct Rice {
    pairs: Arc<Pairs>,
    config: RiceConfig,
    fold_of: Arc<Vec<usize>>,
    splits: [Vec<usize>; 3],
    shape: [usize; 3],
    /// Whether the seed chooses the fold.
    folded: bool,
}

fn wrong(message: String) -> DataError {
    let (what, name) = ("task", Rice::NAME.to_string());
    ConfigError::Invalid { what, name, message }.into()
}

/// The side of generated samples: that of the published ones.
const SIDE: usize = 40;

/// The number of folds: a choice of this project. Each fold has two of the ten captures of a class.
const FOLDS: usize = 5;

impl LoadTask for Rice {
    type Config = RiceConfig;
    const NAME: &'static str = "rice";
    const ABOUT: &'static str =
        "five kinds of rice as RAW mosaics or as RGB (--data-dir), or generated grains";
    const SOURCE: &'static str = "https://github.com/viborgen/p7_final (no licence given)";

    fn load(config: &RiceConfig, data: &DataDir) -> Result<Arc<dyn Task>, DataError> {
        let c = config;
        if c.per_capture == 0 || c.per_capture > 1000 {
            let many = c.per_capture;
            return Err(wrong(format!("per_capture = {many}: must be from 1 to 1000")));
        }
        let pairs = match c.source {
            RiceSource::Files => files::read(data, c.input == RiceInput::Rgb)?,
            RiceSource::Generated => grains::draw(c.per_capture, SIDE),
        };
        if let Some(train) = c.train.filter(|train| *train < pairs.classes.len()) {
            let classes = pairs.classes.len();
            return Err(wrong(format!(
                "train = {train}: must be at least {classes}, one per class"
            )));
        }
        check_augment(&c.augment, pairs.size).map_err(wrong)?;
        let fold_of = deal(&pairs, c.deal, FOLDS).map_err(wrong)?;
        Ok(Arc::new(Self::of_fold(Arc::new(pairs), Arc::new(fold_of), c, 0)))
    }
}

/// Checks the settings against crops of this many rows and columns.
fn check_augment(augment: &Augment, [height, width]: [usize; 2]) -> Result<(), String> {
    let crop = augment.crop;
    match crop {
        _ if crop % 2 == 1 => Err(format!(
            "augment.crop = {crop}: must be even, since mosaics are shifted by squares of 2 x 2 pixels"
        )),
        _ if crop >= height.min(width) => {
            Err(format!("augment.crop = {crop}: crops have only {height} x {width} pixels"))
        }
        _ => Ok(()),
    }
}

/// A random change within the settings.
fn displacement(augment: &Augment, rng: &mut impl Rng) -> Displacement {
    let most = (augment.crop / 2) as i64;
    let mut squares = || rng.random_range(-most..=most) as isize;
    let squares = [squares(), squares()];
    Displacement { squares, flip: augment.flip && rng.random() }
}

impl Rice {
    fn of_fold(
        pairs: Arc<Pairs>,
        fold_of: Arc<Vec<usize>>,
        config: &RiceConfig,
        fold: usize,
    ) -> Self {
        let size = pairs.size;
        let shape = config.input.form().map_or([3, size[0], size[1]], |form| form.shape(size));
        let splits = splits(&pairs, &fold_of, (fold, FOLDS), config.train);
        Self { pairs, config: config.clone(), fold_of, splits, shape, folded: true }
    }

    /// The input of a network for a sample, displaced.
    fn shown(&self, sample: usize, displacement: Displacement) -> Vec<f32> {
        let is_moved = displacement != Displacement::default();
        let size = self.pairs.size;
        let Some(form) = self.config.input.form() else {
            let image = self.pairs.rgb(sample);
            let plane =
                |plane: &[u8]| if is_moved { displacement.of(plane, size) } else { plane.to_vec() };
            let codes = image.chunks_exact(size[0] * size[1]).flat_map(plane);
            return codes.map(|code| f32::from(code) / 255.0).collect();
        };
        let mut mosaic = self.pairs.mosaic(sample);
        if is_moved {
            mosaic.values = displacement.of(&mosaic.values, size);
        }
        form.of(&mosaic).values
    }

    /// A batch of samples with their displaced inputs.
    fn batch_of(&self, samples: &[usize], shown: Vec<f32>, device: &Device) -> Batch {
        let ([c, h, w], n) = (self.shape, samples.len());
        let labels: Vec<i32> = samples.iter().map(|sample| self.pairs.labels[*sample]).collect();
        Batch::new(
            Input::Image(Tensor::from_data(TensorData::new(shown, [n, c, h, w]), device)),
            Tensor::from_data(TensorData::new(labels, [n, 1]), device),
        )
    }

    /// The samples of some examples of a split.
    fn samples(&self, split: Split, examples: &[usize]) -> Vec<usize> {
        examples.iter().map(|example| self.splits[split as usize][*example]).collect()
    }
}

impl Task for Rice {
    fn domain(&self) -> Domain {
        let [channels, height, width] = self.shape;
        Domain::Image { channels, height, width }
    }

    fn outputs(&self) -> usize {
        self.pairs.classes.len()
    }

    fn causal(&self) -> bool {
        false
    }

    fn metrics(&self) -> &'static [&'static str] {
        &["accuracy", "loss"]
    }

    fn len(&self, split: Split) -> usize {
        self.splits[split as usize].len()
    }

    fn batch(&self, split: Split, examples: &[usize], device: &Device) -> Batch {
        let samples = self.samples(split, examples);
        let still = Displacement::default();
        let shown = samples.iter().flat_map(|sample| self.shown(*sample, still)).collect();
        self.batch_of(&samples, shown, device)
    }

    fn training_batch(&self, examples: &[usize], place: BatchPosition, device: &Device) -> Batch {
        let samples = self.samples(Split::Train, examples);
        let change = |i| displacement(&self.config.augment, &mut place.rng("rice", i));
        let shown = samples.iter().enumerate();
        let shown = shown.flat_map(|(i, sample)| self.shown(*sample, change(i))).collect();
        self.batch_of(&samples, shown, device)
    }

    fn measure(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
        classification(output, &batch.labels, score);
    }

    /// The nearest neighbour by the inputs of networks, on the splits of one fold.
    fn trivial(&self) -> Vec<(&'static str, f64)> {
        let shown = |split| {
            let samples = &self.splits[split as usize];
            let still = Displacement::default();
            let rows = samples.iter().flat_map(|sample| self.shown(*sample, still));
            let size = [samples.len(), self.shape.iter().product()];
            let rows = TensorData::new(rows.collect::<Vec<f32>>(), size);
            let labels: Vec<i32> = samples.iter().map(|s| self.pairs.labels[*s]).collect();
            (Tensor::<2>::from_data(rows, &Device::flex()), labels)
        };
        let ((train, of_train), (test, of_test)) = (shown(Split::Train), shown(Split::Test));
        vec![("accuracy", nearest_neighbour((train, &of_train), (test, &of_test)))]
    }

    /// Test examples differ between seeds.
    fn is_classification(&self) -> bool {
        false
    }

    fn as_folded(&self) -> Option<&dyn FoldedTask> {
        self.folded.then_some(self as &dyn FoldedTask)
    }
}

impl FoldedTask for Rice {
    fn of_seed(&self, seed: u64) -> Arc<dyn Task> {
        let fold = (seed % FOLDS as u64) as usize;
        let (pairs, fold_of) = (self.pairs.clone(), self.fold_of.clone());
        let mut task = Self::of_fold(pairs, fold_of, &self.config, fold);
        task.folded = false;
        Arc::new(task)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::set::CFA, *};
    use serde_json::json;

    fn load(settings: serde_json::Value) -> Result<Arc<dyn Task>, String> {
        let mut settings = settings;
        settings["source"] = json!("generated");
        settings["per_capture"] = json!(2);
        let config: RiceConfig = serde_json::from_value(settings).unwrap();
        Rice::load(&config, &DataDir::default()).map_err(|err| err.to_string())
    }

    fn pixels(batch: &Batch) -> Vec<f32> {
        let Input::Image(pixels) = &batch.input else { unreachable!("rice is seen") };
        pixels.to_data().iter::<f32>().collect()
    }

    #[test]
    fn every_input_has_its_shape_and_the_same_labels() {
        for (input, shape) in [
            ("rgb", [3, 40, 40]),
            ("raw1", [1, 40, 40]),
            ("raw3", [3, 40, 40]),
            ("pack4", [4, 20, 20]),
            ("pack3", [3, 20, 20]),
            ("bca", [1, 40, 40]),
        ] {
            let task = load(json!({ "input": input })).unwrap();
            let [channels, height, width] = shape;
            assert_eq!(task.domain(), Domain::Image { channels, height, width });
            let batch = task.batch(Split::Test, &[0, 19], &Device::flex());
            let pixels = pixels(&batch);
            assert_eq!(pixels.len(), 2 * channels * height * width);
            assert!(pixels.iter().all(|pixel| (0.0..=1.0).contains(pixel)), "{input}");
            assert_eq!(batch.labels.into_data().iter::<i32>().collect::<Vec<_>>(), [0, 4]);
        }
    }

    #[test]
    fn the_seed_chooses_the_fold() {
        let task = load(json!({})).unwrap();
        assert!(!task.is_classification());
        let folded = task.as_folded().unwrap();
        let test = |task: &Arc<dyn Task>| {
            let all: Vec<usize> = (0..task.len(Split::Test)).collect();
            pixels(&task.batch(Split::Test, &all, &Device::flex()))
        };
        let of_seeds = [0, 1, 5].map(|seed| test(&folded.of_seed(seed)));
        assert_eq!(of_seeds[0], of_seeds[2]);
        assert_ne!(of_seeds[0], of_seeds[1]);
        let second = folded.of_seed(1);
        assert!(second.as_folded().is_none() && !second.is_classification());
        let sizes = [Split::Train, Split::Valid, Split::Test].map(|split| second.len(split));
        assert_eq!(sizes, [60, 20, 20]);
    }

    #[test]
    fn the_nearest_neighbour_is_that_of_the_fold() {
        let task = load(json!({ "input": "rgb" })).unwrap();
        let folded = task.as_folded().unwrap();
        let of = |seed| {
            let task = folded.of_seed(seed);
            let pixels = |split: Split| -> Vec<Vec<f32>> {
                let all: Vec<usize> = (0..task.len(split)).collect();
                let rows = pixels(&task.batch(split, &all, &Device::flex()));
                rows.chunks(4800).map(<[f32]>::to_vec).collect()
            };
            let labels = |split: Split| -> Vec<i32> {
                let all: Vec<usize> = (0..task.len(split)).collect();
                task.batch(split, &all, &Device::flex()).labels.into_data().iter::<i32>().collect()
            };
            let (train, test) = (pixels(Split::Train), pixels(Split::Test));
            let (of_train, of_test) = (labels(Split::Train), labels(Split::Test));
            let away = |a: &[f32], b: &[f32]| -> f64 {
                a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum()
            };
            let right = test.iter().zip(&of_test).filter(|(row, label)| {
                let distances = train.iter().map(|other| away(row, other));
                let nearest = distances.enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0;
                of_train[nearest] == **label
            });
            (task.trivial(), right.count() as f64 / test.len() as f64)
        };
        for (found, expected) in [of(0), of(1)] {
            let [("accuracy", found)] = found[..] else { panic!("{found:?}") };
            // Rounding may decide between two that are nearly equally near.
            assert!((found - expected).abs() <= 0.1, "{found} {expected}");
        }
    }

    #[test]
    fn training_moves_crops_and_keeps_the_colours_of_their_pixels() {
        let batch = |input: &str, augment: serde_json::Value, position| {
            let task = load(json!({ "input": input, "augment": augment })).unwrap();
            let place = BatchPosition { seed: 0, position };
            let moved = pixels(&task.training_batch(&[3, 40], place, &Device::flex()));
            (moved, pixels(&task.batch(Split::Train, &[3, 40], &Device::flex())))
        };
        for input in ["rgb", "raw1", "raw3", "pack4", "pack3", "bca"] {
            let (still, plain) = batch(input, json!({}), 0);
            assert_eq!(still, plain, "{input}");
            let (moved, plain) = batch(input, json!({ "crop": 4, "flip": true }), 0);
            assert_ne!(moved, plain, "{input}");
            assert_eq!(batch(input, json!({ "crop": 4, "flip": true }), 0).0, moved, "{input}");
            assert_ne!(batch(input, json!({ "crop": 4, "flip": true }), 2).0, moved, "{input}");
        }
        // Where a plane of the sparse form has no pixels there are none after the change either.
        let (moved, _) = batch("raw3", json!({ "crop": 6, "flip": true }), 0);
        for (at, pixel) in moved.iter().enumerate() {
            let (plane, place) = (at / 1600 % 3, at % 1600);
            let has_colour = CFA.at(place / 40, place % 40) as usize == plane;
            assert!(has_colour || *pixel == 0.0, "plane {plane}, place {place}");
        }
        let sums = moved.chunks_exact(1600).map(|plane| plane.iter().sum::<f32>());
        assert!(sums.into_iter().all(|sum| sum > 0.0));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let err = load(json!({ "augment": { "crop": 3 } })).err().unwrap();
        assert!(err.contains("augment.crop = 3: must be even, since mosaics are shifted"), "{err}");
        let err = load(json!({ "augment": { "crop": 40 } })).err().unwrap();
        assert!(err.contains("augment.crop = 40: crops have only 40 x 40 pixels"), "{err}");
        let err = load(json!({ "train": 4 })).err().unwrap();
        assert!(err.contains("train = 4: must be at least 5, one per class"), "{err}");
    }
}
