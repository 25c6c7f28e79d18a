//! Classification of labelled images: the parts that all image tasks share.
//!
//! The true cluster of an image is its super-class, or its label in a set without super-classes. A router
//! that uses it cheats: it reveals the answer, in evaluation too. The router `oracle` uses it, as a bound
//! that no honest router reaches.

use std::sync::Arc;

use burn::prelude::*;
use moe::{ConfigError, Domain, Input, config, stable_hash};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    augment::Augment,
    corrupt::Corruption,
    image::{Image, resize},
    splits::{Splits, balanced},
};
use crate::{
    Batch, BatchPosition, ClusteredTask, DataError, Score, Split, Task, registry::check_splits,
    score::classification, trivial::nearest_neighbour,
};

config! {
    /// Settings of an image set: subsets, size, augmentation.
    pub struct ImagesConfig {
        /// Images for training, balanced over the classes as far as possible; all if left out.
        pub train: Option<usize> = None,
        /// Images for validation, likewise.
        pub valid: Option<usize> = None,
        /// Images for test, likewise.
        pub test: Option<usize> = None,
        /// Only these classes, renumbered in this order; all if left out.
        pub classes: Option<Vec<usize>> = None,
        /// The number of rows and columns to which images are resized; unchanged if left out.
        pub side: Option<usize> = None,
        /// Random changes in training.
        pub augment: Augment = Augment::default(),
        /// The corruption of the test images, with its severity: `"gaussian-noise 3"`.
        pub corrupt: Option<Corruption> = None,
        /// The share of the training images whose label is drawn anew, from all classes.
        #[serde(skip_serializing_if = "is_zero")]
        pub label_noise: f64 = 0.0,
    }
}

/// Whether a share is 0, for serde.
pub(crate) fn is_zero(share: &f64) -> bool {
    *share == 0.0
}

/// The most bytes of all images of a set.
const NUMBERS: usize = 1 << 34;

/// Checks the rows and columns of images.
pub(crate) fn check_side(side: usize) -> Result<(), String> {
    const MOST: usize = 1024;
    match (1..=MOST).contains(&side) {
        true => Ok(()),
        false => Err(format!("side = {side}: must be from 1 to {MOST}")),
    }
}

/// A set as it was read.
pub(crate) struct Labelled {
    /// The name of the task.
    pub(crate) set: &'static str,
    /// `[channels, height, width]` of each image.
    pub(crate) shape: [usize; 3],
    /// The values, image by image.
    pub(crate) bytes: Vec<u8>,
    /// The byte that means 1.
    pub(crate) white: u8,
    pub(crate) labels: Vec<i32>,
    pub(crate) classes: usize,
    /// The true super-class of each class, where there is one.
    pub(crate) super_classes: Option<Vec<usize>>,
    pub(crate) splits: Splits,
}

/// Images with one label each.
pub struct Images {
    data: Labelled,
    augment: Augment,
    corrupt: Option<Corruption>,
}

/// The error that a setting of the task `set` does not fit.
fn wrong(set: &str, message: String) -> DataError {
    ConfigError::Invalid { what: "task", name: set.into(), message }.into()
}

impl Images {
    /// The part of a set that a config asks for. Each split has at least one image.
    pub(crate) fn load(
        mut data: Labelled,
        config: &ImagesConfig,
    ) -> Result<Arc<dyn Task>, DataError> {
        let set = data.set;
        if let Some(classes) = &config.classes {
            data.keep(classes).map_err(|message| wrong(set, message))?;
        }
        let sizes = [("train", config.train), ("valid", config.valid), ("test", config.test)];
        for (split, (name, size)) in data.splits.iter_mut().zip(sizes) {
            let Some(size) = size else { continue };
            if size == 0 {
                return Err(wrong(set, format!("{name} = 0: must be at least 1")));
            }
            *split = balanced(split, &data.labels, data.classes, size).map_err(|(class, n)| {
                wrong(
                    set,
                    format!("{name} = {size}: class {class} has only {n} images in this split"),
                )
            })?;
        }
        let noise = config.label_noise;
        if !(0.0..=1.0).contains(&noise) {
            return Err(wrong(set, format!("label_noise = {noise}: must be from 0 to 1")));
        }
        data.blur_labels(noise);
        if let Some(side) = config.side {
            data.resize(side).map_err(|message| wrong(set, message))?;
        }
        config.augment.check(data.shape).map_err(|message| wrong(set, message))?;
        let images = Self { data, augment: config.augment.clone(), corrupt: config.corrupt };
        check_splits(set, &images)?;
        Ok(Arc::new(images))
    }

    /// The image `number` of the set.
    fn image(&self, number: usize) -> Image {
        let [channels, height, width] = self.data.shape;
        let size = channels * height * width;
        let white = f32::from(self.data.white);
        let bytes = &self.data.bytes[number * size..][..size];
        let values = bytes.iter().map(|byte| f32::from(*byte) / white).collect();
        Image { channels, height, width, values }
    }

    /// The image `number` in `split`, corrupted in the test split, without augmentation.
    fn shown(&self, split: Split, number: usize) -> Image {
        match self.corrupt {
            Some(corruption) if split == Split::Test => {
                let seed = stable_hash(&format!("corrupt/{corruption}/{number}"));
                corruption.apply(self.image(number), &mut ChaCha8Rng::seed_from_u64(seed))
            }
            _ => self.image(number),
        }
    }

    fn batch_of(&self, images: &[Image], labels: Vec<i32>, device: &Device) -> Batch {
        let ([c, h, w], n) = (self.data.shape, images.len());
        let pixels: Vec<f32> = images.iter().flat_map(|p| &p.values).copied().collect();
        let pixels = TensorData::new(pixels, [n, c, h, w]);
        let labels = TensorData::new(labels, [n, 1]);
        Batch::new(
            Input::Image(Tensor::from_data(pixels, device)),
            Tensor::from_data(labels, device),
        )
    }

    fn members(&self, split: Split, examples: &[usize]) -> Vec<usize> {
        examples.iter().map(|example| self.data.splits[split as usize][*example]).collect()
    }

    fn labels(&self, members: &[usize]) -> Vec<i32> {
        members.iter().map(|image| self.data.labels[*image]).collect()
    }
}

impl Labelled {
    /// Keeps only these classes, numbered in this order.
    fn keep(&mut self, classes: &[usize]) -> Result<(), String> {
        let known = self.classes;
        for (i, class) in classes.iter().enumerate() {
            if *class >= known || classes[..i].contains(class) {
                return Err(format!("classes: {class}: must be below {known}, and listed once"));
            }
        }
        if classes.is_empty() {
            return Err("classes = []: at least one is needed".into());
        }
        let new = |label: i32| classes.iter().position(|class| *class == label as usize);
        for split in &mut self.splits {
            split.retain(|image| new(self.labels[*image]).is_some());
        }
        // Images of other classes get an arbitrary label, since no split contains them.
        let renumbered = self.labels.iter().map(|label| new(*label).unwrap_or(0) as i32);
        self.labels = renumbered.collect();
        let of = |all: &Vec<usize>| classes.iter().map(|class| all[*class]).collect();
        self.super_classes = self.super_classes.as_ref().map(of);
        self.classes = classes.len();
        Ok(())
    }

    /// Redraws the labels of a share of the training images from all classes. The choice of images and their
    /// labels depend on the image's number alone, so that a smaller share is a subset of a larger one.
    fn blur_labels(&mut self, share: f64) {
        for image in &self.splits[Split::Train as usize] {
            let seed = stable_hash(&format!("label-noise/{}/{image}", self.set));
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            if rng.random::<f64>() < share {
                self.labels[*image] = rng.random_range(0..self.classes) as i32;
            }
        }
    }

    /// Resizes all images to this many rows and columns.
    fn resize(&mut self, side: usize) -> Result<(), String> {
        check_side(side)?;
        let [channels, height, width] = self.shape;
        let numbers = (channels * side * side).saturating_mul(self.labels.len());
        if numbers > NUMBERS {
            let images = self.labels.len();
            return Err(format!(
                "side = {side}: {images} images would have {numbers} bytes, more than {NUMBERS}"
            ));
        }
        if [height, width] != [side, side] {
            let images = self.bytes.chunks(channels * height * width);
            let resized = images.flat_map(|bytes| resize(bytes, self.shape, [side, side]));
            self.bytes = resized.collect();
            self.shape = [channels, side, side];
        }
        Ok(())
    }
}

impl Task for Images {
    fn domain(&self) -> Domain {
        let [channels, height, width] = self.data.shape;
        Domain::Image { channels, height, width }
    }

    fn outputs(&self) -> usize {
        self.data.classes
    }

    fn causal(&self) -> bool {
        false
    }

    /// The nearest neighbour of raw pixels.
    fn trivial(&self) -> Vec<(&'static str, f64)> {
        let pixels = |split| {
            let members: Vec<usize> = (0..self.len(split)).collect();
            let members = self.members(split, &members);
            let images = members.iter().flat_map(|image| self.shown(split, *image).values);
            let size = [members.len(), self.data.shape.iter().product()];
            let data = TensorData::new(images.collect::<Vec<f32>>(), size);
            (Tensor::<2>::from_data(data, &Device::flex()), self.labels(&members))
        };
        let ((train, of_train), (test, of_test)) = (pixels(Split::Train), pixels(Split::Test));
        let accuracy = nearest_neighbour((train, &of_train), (test, &of_test));
        vec![("accuracy", accuracy)]
    }

    fn metrics(&self) -> &'static [&'static str] {
        &["accuracy", "loss"]
    }

    fn len(&self, split: Split) -> usize {
        self.data.splits[split as usize].len()
    }

    fn batch(&self, split: Split, examples: &[usize], device: &Device) -> Batch {
        let members = self.members(split, examples);
        let images: Vec<Image> = members.iter().map(|n| self.shown(split, *n)).collect();
        self.batch_of(&images, self.labels(&members), device)
    }

    fn training_batch(&self, examples: &[usize], place: BatchPosition, device: &Device) -> Batch {
        let members = self.members(Split::Train, examples);
        let changed = |(i, number): (usize, &usize)| {
            self.augment.change(self.image(*number), &mut place.rng("picture", i))
        };
        let images: Vec<Image> = members.iter().enumerate().map(changed).collect();
        self.batch_of(&images, self.labels(&members), device)
    }

    fn measure(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
        classification(output, &batch.labels, score);
    }

    fn as_clustered(&self) -> Option<&dyn ClusteredTask> {
        Some(self)
    }
}

impl ClusteredTask for Images {
    /// The super-class of each image, or its class where there are no super-classes.
    fn clusters(&self, batch: &Batch) -> Tensor<2, Int> {
        let labels = batch.labels.clone();
        let Some(above) = &self.data.super_classes else { return labels };
        let [n, _] = labels.dims();
        let above: Vec<i32> = above.iter().map(|class| *class as i32).collect();
        let above = Tensor::<1, Int>::from_ints(above.as_slice(), &labels.device());
        above.select(0, labels.reshape([n])).reshape([n, 1])
    }

    fn super_classes(&self) -> Option<&[usize]> {
        self.data.super_classes.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::super_classes;

    /// Twelve images of one grey value each, four of each of three classes.
    fn data() -> Labelled {
        let labels: Vec<i32> = (0..12).map(|i| i % 3).collect();
        Labelled {
            set: "greys",
            shape: [1, 2, 2],
            bytes: (0..12).flat_map(|i| [i * 20; 4]).collect(),
            white: 220,
            labels,
            classes: 3,
            super_classes: Some(vec![0, 1, 1]),
            splits: [(0..6).collect(), (6..9).collect(), (9..12).collect()],
        }
    }

    fn load(config: ImagesConfig) -> Result<Arc<dyn Task>, String> {
        Images::load(data(), &config).map_err(|err| err.to_string())
    }

    fn shown(task: &dyn Task, split: Split) -> (Vec<f32>, Vec<i32>) {
        let examples: Vec<usize> = (0..task.len(split)).collect();
        numbers(task.batch(split, &examples, &Device::flex()))
    }

    fn numbers(batch: Batch) -> (Vec<f32>, Vec<i32>) {
        let Input::Image(pixels) = batch.input else { unreachable!("they are images") };
        let pixels = pixels.into_data().try_to_vec().unwrap();
        (pixels, batch.labels.into_data().try_to_vec().unwrap())
    }

    #[test]
    fn subsets_are_balanced_and_classes_numbered_anew() {
        let config =
            ImagesConfig { train: Some(2), classes: Some(vec![2, 0]), ..ImagesConfig::default() };
        let task = load(config).unwrap();
        assert_eq!((task.outputs(), task.len(Split::Train), task.len(Split::Test)), (2, 2, 2));
        assert_eq!(super_classes(&*task), Some(&[1, 0][..]));
        let (pixels, labels) = shown(&*task, Split::Train);
        assert_eq!(labels, [1, 0]); // images 0 and 2
        assert_eq!(pixels[..5], [0.0, 0.0, 0.0, 0.0, 40.0 / 220.0]);
    }

    #[test]
    fn a_set_without_images_for_a_split_is_refused() {
        let splits = [(0..6).collect(), vec![], (9..12).collect()];
        let err = Images::load(Labelled { splits, ..data() }, &ImagesConfig::default());
        let expected = "task \"greys\": 6 examples for training, 0 for validation, 3 for test; each split \
                        has at least 1";
        assert_eq!(err.err().unwrap().to_string(), expected);
    }

    #[test]
    fn clusters_are_super_classes_or_labels() {
        let clusters = |data: Labelled| {
            let task = Images::load(data, &ImagesConfig::default()).ok().unwrap();
            let batch = task.batch(Split::Train, &[0, 1, 2, 3], &Device::flex());
            task.as_clustered().unwrap().clusters(&batch).into_data().try_to_vec::<i32>().unwrap()
        };
        assert_eq!(clusters(data()), [0, 1, 1, 0]);
        assert_eq!(clusters(Labelled { super_classes: None, ..data() }), [0, 1, 2, 0]);
    }

    #[test]
    fn another_size_is_another_domain() {
        let task = load(ImagesConfig { side: Some(3), ..ImagesConfig::default() }).unwrap();
        assert_eq!(task.domain(), Domain::Image { channels: 1, height: 3, width: 3 });
        assert_eq!(shown(&*task, Split::Test).0[9..18], [200.0 / 220.0; 9]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let default = ImagesConfig::default;
        let err = load(ImagesConfig { train: Some(7), ..default() }).err().unwrap();
        assert!(err.contains("train = 7: class 0 has only 2 images in this split"), "{err}");
        let err = load(ImagesConfig { test: Some(0), ..default() }).err().unwrap();
        assert!(err.contains("test = 0"), "{err}");
        let err = load(ImagesConfig { classes: Some(vec![1, 3]), ..default() }).err().unwrap();
        assert!(err.contains("classes: 3: must be below 3, and listed once"), "{err}");
        let err = load(ImagesConfig { side: Some(0), ..default() }).err().unwrap();
        assert!(err.contains("side = 0"), "{err}");
    }

    #[test]
    fn corruption_is_for_test_only_and_always_the_same() {
        let corrupt = Some("gaussian-noise 5".parse().unwrap());
        let task = load(ImagesConfig { corrupt, ..ImagesConfig::default() }).unwrap();
        let plain = load(ImagesConfig::default()).unwrap();
        assert_eq!(shown(&*task, Split::Train), shown(&*plain, Split::Train));
        assert_ne!(shown(&*task, Split::Test), shown(&*plain, Split::Test));
        assert_eq!(shown(&*task, Split::Test), shown(&*task, Split::Test));
    }

    #[test]
    fn a_share_of_the_training_labels_is_drawn_anew() {
        let labels = |noise| {
            let mut many = data();
            many.labels = (0..12_000).map(|i| i % 3).collect();
            many.splits =
                [(0..9000).collect(), (9000..10_500).collect(), (10_500..12_000).collect()];
            many.blur_labels(noise);
            many.labels
        };
        let (plain, noisy, less) = (labels(0.0), labels(0.4), labels(0.1));
        assert_eq!(plain[9000..], noisy[9000..], "validation and test stay");
        let wrong =
            |labels: &[i32]| (0..9000).filter(|i| labels[*i] != plain[*i]).collect::<Vec<_>>();
        // Of three classes, a third of the redrawn labels are right.
        let share = wrong(&noisy).len() as f64 / 9000.0;
        assert!((share - 0.4 * 2.0 / 3.0).abs() < 0.02, "{share}");
        assert!(wrong(&less).iter().all(|i| less[*i] == noisy[*i]));
        let err = load(ImagesConfig { label_noise: 1.5, ..ImagesConfig::default() }).err().unwrap();
        assert!(err.contains("label_noise = 1.5: must be from 0 to 1"), "{err}");
    }

    #[test]
    fn what_is_random_in_training_follows_from_the_place() {
        let augment = Augment { crop: 1, flip: true };
        let task = load(ImagesConfig { augment, ..ImagesConfig::default() }).unwrap();
        let batch = |seed, position| {
            let place = BatchPosition { seed, position };
            numbers(task.training_batch(&[1, 2, 3, 4, 5], place, &Device::flex()))
        };
        assert_eq!(batch(0, 10), batch(0, 10));
        assert_ne!(batch(0, 10), batch(0, 15));
        assert_ne!(batch(0, 10), batch(1, 10));
        // The change of an example depends on its position in the stream, not on its batch.
        let alone =
            task.training_batch(&[5], BatchPosition { seed: 0, position: 14 }, &Device::flex());
        assert_eq!(numbers(alone).0, batch(0, 10).0[16..]);
    }

    #[test]
    fn without_augmentation_training_shows_the_images_themselves() {
        let task = load(ImagesConfig::default()).unwrap();
        let place = BatchPosition { seed: 0, position: 0 };
        let batch = task.training_batch(&[0, 1, 2, 3, 4, 5], place, &Device::flex());
        assert_eq!(numbers(batch), shown(&*task, Split::Train));
    }
}
