//! Handwritten digits of 8 x 8 pixels, the default picture task.
//!
//! Alpaydin, Kaynak. *Optical Recognition of Handwritten Digits*. UCI, 1998.
//! <https://archive.ics.uci.edu/dataset/80> (CC BY 4.0), the 1,797 pictures of its test part, as
//! shipped by the crate smartcore: the same rows as scikit-learn's `load_digits`.
//!
//! The set comes without a split. Ours is stratified and always the same: of each class, in an
//! order drawn once, the first fifth is for test, the next for validation, the rest for training.
//!
//! The true clusters of its pictures are their labels. A router that looks at them cheats: it gives
//! the answer away, in evaluation too. The router `oracle` does, as a bound that no honest router
//! reaches.

use std::sync::Arc;

use burn::prelude::*;
use moe::{Domain, Input, NoConfig, stable_hash};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use smartcore::dataset::digits::load_dataset;

use crate::{Batch, DataDir, DataError, LoadTask, Score, Split, Task, score::classification};

const SIDE: usize = 8;
const PIXELS: usize = SIDE * SIDE;
const CLASSES: usize = 10;

/// Handwritten digits.
pub struct Digits {
    /// Grey values, 0 to 1, picture by picture.
    pixels: Vec<f32>,
    labels: Vec<i32>,
    /// The pictures of each split: train, valid, test.
    splits: [Vec<usize>; 3],
}

impl LoadTask for Digits {
    type Config = NoConfig;
    const NAME: &'static str = "digits";
    const ABOUT: &'static str = "1,797 handwritten digits of 8 x 8 pixels";
    const SOURCE: &'static str = "https://archive.ics.uci.edu/dataset/80 (CC BY 4.0)";

    fn load(_config: &NoConfig, _data: &DataDir) -> Result<Arc<dyn Task>, DataError> {
        Ok(Arc::new(Digits::new()))
    }
}

fn split(labels: &[i32]) -> [Vec<usize>; 3] {
    let mut rng = ChaCha8Rng::seed_from_u64(stable_hash("digits/split"));
    let mut splits = [Vec::new(), Vec::new(), Vec::new()];
    for class in 0..CLASSES as i32 {
        let mut members: Vec<usize> =
            (0..labels.len()).filter(|picture| labels[*picture] == class).collect();
        members.shuffle(&mut rng);
        let fifth = members.len() / 5;
        splits[2].extend(&members[..fifth]);
        splits[1].extend(&members[fifth..2 * fifth]);
        splits[0].extend(&members[2 * fifth..]);
    }
    splits
}

impl Digits {
    fn new() -> Self {
        let data = load_dataset();
        let labels: Vec<i32> = data.target.iter().map(|label| *label as i32).collect();
        let splits = split(&labels);
        Self { pixels: data.data.iter().map(|grey| grey / 16.0).collect(), labels, splits }
    }

    fn members(&self, split: Split) -> &[usize] {
        &self.splits[split as usize]
    }
}

impl Task for Digits {
    fn domain(&self) -> Domain {
        Domain::Image { channels: 1, height: SIDE, width: SIDE }
    }

    fn outputs(&self) -> usize {
        CLASSES
    }

    fn causal(&self) -> bool {
        false
    }

    fn metrics(&self) -> &'static [&'static str] {
        &["accuracy", "loss"]
    }

    fn len(&self, split: Split) -> usize {
        self.members(split).len()
    }

    fn batch(&self, split: Split, examples: &[usize], device: &Device) -> Batch {
        let pictures = examples.iter().map(|example| self.members(split)[*example]);
        let pixels: Vec<f32> = pictures
            .clone()
            .flat_map(|picture| &self.pixels[picture * PIXELS..(picture + 1) * PIXELS])
            .copied()
            .collect();
        let labels: Vec<i32> = pictures.map(|picture| self.labels[picture]).collect();
        let n = examples.len();
        Batch {
            input: Input::Image(Tensor::from_data(
                TensorData::new(pixels, [n, 1, SIDE, SIDE]),
                device,
            )),
            labels: Tensor::from_data(TensorData::new(labels, [n, 1]), device),
        }
    }

    fn clusters(&self, batch: &Batch) -> Option<Tensor<2, Int>> {
        Some(batch.labels.clone())
    }

    fn measure(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
        classification(output, &batch.labels, score);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_splits_are_stratified_and_share_nothing() {
        let task = Digits::new();
        let sizes = [Split::Train, Split::Valid, Split::Test].map(|split| task.len(split));
        assert_eq!(sizes.iter().sum::<usize>(), 1797);
        assert_eq!(sizes, [1087, 355, 355]);
        let all: HashSet<usize> = task.splits.iter().flatten().copied().collect();
        assert_eq!(all.len(), 1797);
        let eights = |split| {
            task.members(split).iter().filter(|picture| task.labels[**picture] == 8).count()
        };
        assert_eq!((eights(Split::Valid), eights(Split::Test)), (34, 34)); // 174 / 5
    }

    #[test]
    fn a_batch_has_the_pictures_asked_for() {
        let task = Digits::new();
        let batch = task.batch(Split::Test, &[3, 0], &Device::flex());
        let Input::Image(pixels) = batch.input else { unreachable!("digits are pictures") };
        let pixels = pixels.into_data().try_to_vec::<f32>().unwrap();
        let first = task.splits[2][3] * PIXELS;
        assert_eq!(pixels[..PIXELS], task.pixels[first..first + PIXELS]);
        assert!(pixels.iter().all(|grey| (0.0..=1.0).contains(grey)));
        let labels = batch.labels.into_data().try_to_vec::<i32>().unwrap();
        assert_eq!(labels, [0, 0]); // classes come one after the other
    }

    #[test]
    fn the_clusters_are_the_labels() {
        let task = Digits::new();
        let batch = task.batch(Split::Valid, &[0, 40], &Device::flex());
        let ints = |tensor: Tensor<2, Int>| tensor.into_data().try_to_vec::<i32>().unwrap();
        assert_eq!(ints(task.clusters(&batch).unwrap()), ints(batch.labels));
    }

    #[test]
    fn the_first_pictures_are_scikit_learns() {
        assert_eq!(Digits::new().labels[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let task = Digits::new();
        let mean = task.pixels.iter().map(|grey| f64::from(*grey)).sum::<f64>() / (1797.0 * 64.0);
        assert!((mean * 16.0 - 4.8842).abs() < 1e-4, "{mean}");
    }
}
