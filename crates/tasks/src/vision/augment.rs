//! Random changes to images in training. Everything random follows from the generator given.
//!
//! Crop and flip: He et al. *Deep Residual Learning*. CVPR 2016. <https://arxiv.org/abs/1512.03385>
//! Random erasing: Zhong et al. AAAI 2020. <https://arxiv.org/abs/1708.04896>
//! Mixup: Zhang et al. ICLR 2018. <https://arxiv.org/abs/1710.09412>
//! CutMix: Yun et al. ICCV 2019. <https://arxiv.org/abs/1905.04899>
//!
//! RandAugment is in a file of its own. Mixup and CutMix mix a batch with itself in reverse order,
//! with one share for the whole batch; where both are on, a coin decides.

use moe::config;
use rand::{Rng, RngExt};
use rand_distr::{Beta, Distribution};

use super::{image::Image, rand_augment};

config! {
    /// Random changes to images in training; none by default.
    pub struct Augment {
        /// Black pixels put around an image, out of which one of the old size is cut.
        pub crop: usize = 0,
        /// Whether images are flipped left to right with probability one half.
        pub flip: bool = false,
        /// Operations of RandAugment, its N; 0 is none.
        pub operations: usize = 0,
        /// Their magnitude, its M, from 0 to 10.
        pub magnitude: f64 = 5.0,
        /// The chance that a rectangle is erased.
        pub erase: f64 = 0.0,
        /// The alpha of mixup; 0 is none.
        pub mixup: f64 = 0.0,
        /// The alpha of CutMix; 0 is none.
        pub cutmix: f64 = 0.0,
    }
}

/// The mixing of a batch with itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mixture {
    /// The other example in each.
    pub(crate) partners: Vec<usize>,
    /// The other example's share.
    pub(crate) share: f32,
}

impl Augment {
    /// Checks the settings against images of `[channels, height, width]`.
    pub(crate) fn check(&self, [_, height, width]: [usize; 3]) -> Result<(), String> {
        if self.crop >= height.min(width) {
            return Err(format!(
                "augment.crop = {}: images have only {height} x {width} pixels",
                self.crop
            ));
        }
        let ranges = [
            ("magnitude", self.magnitude, 10.0),
            ("erase", self.erase, 1.0),
            ("mixup", self.mixup, 1000.0),
            ("cutmix", self.cutmix, 1000.0),
        ];
        match ranges.iter().find(|(_, value, most)| !(0.0..=*most).contains(value)) {
            Some((name, value, most)) => {
                Err(format!("augment.{name} = {value}: must be from 0 to {most}"))
            }
            None => Ok(()),
        }
    }

    /// One image, changed.
    pub(crate) fn change(&self, mut image: Image, rng: &mut impl Rng) -> Image {
        if self.crop > 0 {
            image = crop(&image, self.crop, rng);
        }
        if self.flip && rng.random() {
            image = flip(&image);
        }
        for _ in 0..self.operations {
            image = rand_augment::change(image, self.magnitude, rng);
        }
        if self.erase > 0.0 && rng.random_bool(self.erase) {
            erase(&mut image, rng);
        }
        image
    }

    /// Mixes a batch with itself, if it is to be.
    pub(crate) fn mix(&self, images: &mut [Image], rng: &mut impl Rng) -> Option<Mixture> {
        let cut = match (self.mixup > 0.0, self.cutmix > 0.0) {
            (false, false) => return None,
            (true, true) => rng.random(),
            (_, cutmix) => cutmix,
        };
        let alpha = if cut { self.cutmix } else { self.mixup };
        let kept: f64 = Beta::new(alpha, alpha).ok()?.sample(rng);
        let partners: Vec<usize> = (0..images.len()).rev().collect();
        let originals = images.to_vec();
        let share = if cut {
            let [_, height, width] = images.first()?.shape();
            let place = cut_box([height, width], kept, rng);
            for (image, partner) in images.iter_mut().zip(&partners) {
                paste(image, &originals[*partner], place);
            }
            place.area() as f32 / (height * width) as f32
        } else {
            let share = (1.0 - kept) as f32;
            for (image, partner) in images.iter_mut().zip(&partners) {
                let other = &originals[*partner].values;
                let pairs = image.values.iter_mut().zip(other);
                pairs.for_each(|(value, other)| *value = *value * (1.0 - share) + other * share);
            }
            share
        };
        Some(Mixture { partners, share })
    }
}

fn crop(image: &Image, border: usize, rng: &mut impl Rng) -> Image {
    let mut offset = || rng.random_range(0..=2 * border) as isize - border as isize;
    let (down, right) = (offset(), offset());
    Image::from_fn(image.shape(), |c, y, x| {
        image.at_or_black(c, y as isize + down, x as isize + right)
    })
}

fn flip(image: &Image) -> Image {
    let last = image.width - 1;
    Image::from_fn(image.shape(), |c, y, x| image.at(c, y, last - x))
}

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rectangle {
    top: usize,
    left: usize,
    height: usize,
    width: usize,
}

impl Rectangle {
    fn area(self) -> usize {
        self.height * self.width
    }

    fn has(self, y: usize, x: usize) -> bool {
        (self.top..self.top + self.height).contains(&y)
            && (self.left..self.left + self.width).contains(&x)
    }
}

/// Fills a rectangle of 2 to 40 % of the area and of a side ratio from 0.3 to 1 / 0.3 with random
/// values; if a hundred tries do not fit, nothing.
fn erase(image: &mut Image, rng: &mut impl Rng) {
    let [channels, height, width] = image.shape();
    for _ in 0..100 {
        let area = rng.random_range(0.02..0.4) * (height * width) as f64;
        let ratio: f64 = rng.random_range(0.3..1.0 / 0.3);
        let (h, w) = ((area * ratio).sqrt() as usize, (area / ratio).sqrt() as usize);
        if h == 0 || w == 0 || h >= height || w >= width {
            continue;
        }
        let (top, left) = (rng.random_range(0..=height - h), rng.random_range(0..=width - w));
        for c in 0..channels {
            for y in top..top + h {
                for x in left..left + w {
                    image.values[(c * height + y) * width + x] = rng.random();
                }
            }
        }
        return;
    }
}

/// CutMix's rectangle: of the share `1 - kept` of the area and the image's shape, with its
/// centre anywhere; what sticks out is cut off.
fn cut_box([height, width]: [usize; 2], kept: f64, rng: &mut impl Rng) -> Rectangle {
    let side = (1.0 - kept).sqrt();
    let range = |n: usize, centre: usize| {
        let half = (side * n as f64) as usize / 2;
        (centre.saturating_sub(half), (centre + half).min(n))
    };
    let (top, bottom) = range(height, rng.random_range(0..height));
    let (left, right) = range(width, rng.random_range(0..width));
    Rectangle { top, left, height: bottom - top, width: right - left }
}

fn paste(image: &mut Image, other: &Image, place: Rectangle) {
    let [_, height, width] = image.shape();
    for (i, value) in image.values.iter_mut().enumerate() {
        if place.has(i / width % height, i % width) {
            *value = other.values[i];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn rng(seed: u64) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(seed)
    }

    fn numbered() -> Image {
        Image::from_fn([2, 4, 4], |c, y, x| (c * 16 + y * 4 + x + 1) as f32 / 32.0)
    }

    #[test]
    fn a_flip_reads_rows_backwards() {
        let flipped = flip(&numbered());
        assert_eq!(flipped.values[..4], [4.0, 3.0, 2.0, 1.0].map(|x| x / 32.0));
        assert_eq!(flip(&flipped), numbered());
    }

    #[test]
    fn a_crop_moves_by_at_most_the_border() {
        let mut seen = Vec::new();
        for seed in 0..200 {
            let cropped = crop(&numbered(), 1, &mut rng(seed));
            // Where the pixel of row 1, column 1 of channel 0 went.
            let at = cropped.values[..16].iter().position(|value| *value == 6.0 / 32.0).unwrap();
            assert!([0, 1, 2].contains(&(at / 4)) && [0, 1, 2].contains(&(at % 4)), "{at}");
            if !seen.contains(&at) {
                seen.push(at);
            }
            let black = cropped.values[..16].iter().filter(|value| **value == 0.0).count();
            assert_eq!(black, [0, 4, 7][usize::from(at / 4 != 1) + usize::from(at % 4 != 1)]);
        }
        assert_eq!(seen.len(), 9);
    }

    #[test]
    fn one_rectangle_is_erased() {
        let mut erased = 0;
        for seed in 0..200 {
            let image = Augment { erase: 1.0, ..Augment::default() };
            let image = image.change(numbered(), &mut rng(seed));
            let changed: Vec<usize> =
                (0..16).filter(|i| image.values[*i] != numbered().values[*i]).collect();
            let (rows, columns): (Vec<usize>, Vec<usize>) =
                changed.iter().map(|i| (i / 4, i % 4)).unzip();
            let span = |of: &[usize]| of.iter().max().zip(of.iter().min()).map(|(a, b)| a - b + 1);
            if let (Some(h), Some(w)) = (span(&rows), span(&columns)) {
                assert_eq!(h * w, changed.len());
                assert!(h * w <= 6, "at most 40 % of 16");
                erased += 1;
            }
        }
        assert!(erased > 150, "{erased}");
    }

    #[test]
    fn cutmix_reports_the_area_that_is_pasted() {
        let cutmix = Augment { cutmix: 1.0, ..Augment::default() };
        for seed in 0..50 {
            let (black, white) = (numbered().map(|_| 0.0), numbered().map(|_| 1.0));
            let mut images = [black, white];
            let mixture = cutmix.mix(&mut images, &mut rng(seed)).unwrap();
            let mean = |image: &Image| image.values.iter().sum::<f32>() / 32.0;
            assert!((mean(&images[0]) - mixture.share).abs() < 1e-6);
            assert!((mean(&images[1]) - (1.0 - mixture.share)).abs() < 1e-6);
            assert_eq!(mixture.partners, [1, 0]);
        }
    }

    #[test]
    fn mixup_shares_follow_the_beta_distribution() {
        let mixup = Augment { mixup: 0.2, ..Augment::default() };
        let share = |seed| mixup.mix(&mut [numbered()], &mut rng(seed)).unwrap().share;
        let shares: Vec<f32> = (0..1000).map(share).collect();
        let mean = shares.iter().sum::<f32>() / 1000.0;
        let variance = shares.iter().map(|s| (s - mean).powi(2)).sum::<f32>() / 1000.0;
        // Beta(a, a) has variance 1 / (4 (2 a + 1)) = 0.1786; the mean's standard error is 0.0134.
        assert!((mean - 0.5).abs() < 4.0 * 0.0134, "{mean}");
        assert!((variance - 0.1786).abs() < 0.015, "{variance}");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let check = |augment: Augment| augment.check([1, 8, 6]).unwrap_err();
        let default = Augment::default;
        let err = check(Augment { crop: 6, ..default() });
        assert_eq!(err, "augment.crop = 6: images have only 8 x 6 pixels");
        let err = check(Augment { erase: 1.5, ..default() });
        assert_eq!(err, "augment.erase = 1.5: must be from 0 to 1");
        assert_eq!(
            check(Augment { mixup: -1.0, ..default() }),
            "augment.mixup = -1: must be from 0 to 1000"
        );
        assert!(check(Augment { magnitude: f64::NAN, ..default() }).contains("magnitude = NaN"));
    }

    #[test]
    fn extreme_numbers_are_refused_or_give_values_in_range() {
        let set: [fn(&mut Augment) -> &mut f64; 4] = [
            |augment| &mut augment.magnitude,
            |augment| &mut augment.erase,
            |augment| &mut augment.mixup,
            |augment| &mut augment.cutmix,
        ];
        let with = |set: fn(&mut Augment) -> &mut f64, value| {
            let mut augment = Augment { operations: 2, ..Augment::default() };
            *set(&mut augment) = value;
            augment
        };
        for set in set {
            for value in [f64::NAN, f64::INFINITY, -f64::INFINITY, 1e300, -1e-300] {
                assert!(with(set, value).check([1, 4, 4]).is_err(), "{value}");
            }
            for value in [-0.0, 1e-300, 1e-6, 1.0] {
                let augment = with(set, value);
                assert_eq!(augment.check([1, 4, 4]), Ok(()));
                for seed in 0..50 {
                    let mut images = [augment.change(numbered(), &mut rng(seed)), numbered()];
                    let mixture = augment.mix(&mut images, &mut rng(seed));
                    assert!(mixture.is_none_or(|mixture| (0.0..=1.0).contains(&mixture.share)));
                    let values = images.iter().flat_map(|image| &image.values);
                    assert!(values.into_iter().all(|v| (0.0..=1.0).contains(v)), "{value}");
                }
            }
        }
    }
}
