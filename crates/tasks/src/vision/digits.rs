//! Handwritten digits of 8 x 8 pixels, the default image task.
//!
//! Alpaydin, Kaynak. *Optical Recognition of Handwritten Digits*. UCI, 1998.
//! <https://archive.ics.uci.edu/dataset/80> (CC BY 4.0), the 1,797 images of its test part, as
//! shipped by the crate smartcore: the same rows as scikit-learn's `load_digits`.
//!
//! The set comes without a split. Ours is stratified and always the same: of each class, in an
//! order drawn once, the first fifth is for test, the next for validation, the rest for training.

use std::sync::Arc;

use smartcore::dataset::digits::load_dataset;

use super::{
    images::{Images, ImagesConfig, Labelled},
    splits::fifths,
};
use crate::{DataDir, DataError, LoadTask, Task};

const SIDE: usize = 8;
const CLASSES: usize = 10;

/// Grey values are whole, 0 to 16. They are stored multiplied by this, so that resizing loses little.
const SCALE: f32 = 15.0;
const WHITE: u8 = 240;

/// Handwritten digits.
pub struct Digits;

impl LoadTask for Digits {
    type Config = ImagesConfig;
    const NAME: &'static str = "digits";
    const ABOUT: &'static str = "1,797 handwritten digits of 8 x 8 pixels";
    const SOURCE: &'static str = "https://archive.ics.uci.edu/dataset/80 (CC BY 4.0)";

    fn load(config: &ImagesConfig, data: &DataDir) -> Result<Arc<dyn Task>, DataError> {
        let digits = read();
        data.embedded("digits/pixels", &digits.bytes);
        let labels: Vec<u8> = digits.labels.iter().map(|label| *label as u8).collect();
        data.embedded("digits/labels", &labels);
        Images::load(digits, config)
    }
}

fn read() -> Labelled {
    let data = load_dataset();
    let labels: Vec<i32> = data.target.iter().map(|label| *label as i32).collect();
    Labelled {
        set: Digits::NAME,
        shape: [1, SIDE, SIDE],
        bytes: data.data.iter().map(|grey| (grey * SCALE) as u8).collect(),
        white: WHITE,
        splits: fifths(Digits::NAME, &labels, CLASSES),
        labels,
        classes: CLASSES,
        super_classes: None,
    }
}

#[cfg(test)]
mod tests {
    use burn::prelude::*;
    use moe::Input;
    use std::collections::HashSet;

    use super::*;
    use crate::Split;

    #[test]
    fn the_splits_are_stratified_and_share_nothing() {
        let Labelled { labels, splits, .. } = read();
        assert_eq!(splits.each_ref().map(Vec::len), [1087, 355, 355]);
        let all: HashSet<usize> = splits.iter().flatten().copied().collect();
        assert_eq!(all.len(), 1797);
        let eights = |split: &Vec<usize>| split.iter().filter(|image| labels[**image] == 8).count();
        assert_eq!((eights(&splits[1]), eights(&splits[2])), (34, 34)); // 174 / 5
    }

    #[test]
    fn a_batch_has_the_grey_values_asked_for_to_the_bit() {
        let task = Digits::load(&ImagesConfig::default(), &DataDir::default()).unwrap();
        let batch = task.batch(Split::Test, &[3, 0], &Device::flex());
        let Input::Image(pixels) = batch.input else { unreachable!("digits are images") };
        let pixels = pixels.into_data().try_to_vec::<f32>().unwrap();
        let (data, first) = (load_dataset(), read().splits[2][3] * SIDE * SIDE);
        let greys = data.data[first..first + SIDE * SIDE].iter().map(|grey| grey / 16.0);
        assert_eq!(pixels[..SIDE * SIDE], greys.collect::<Vec<f32>>());
        let labels = batch.labels.into_data().try_to_vec::<i32>().unwrap();
        assert_eq!(labels, [0, 0]); // classes come one after the other
    }

    #[test]
    fn the_first_images_are_scikit_learns() {
        let Labelled { bytes, labels, .. } = read();
        assert_eq!(labels[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let mean = bytes.iter().map(|byte| f64::from(*byte)).sum::<f64>() / (1797.0 * 64.0);
        assert!((mean / 15.0 - 4.8842).abs() < 1e-4, "{mean}");
    }
}
