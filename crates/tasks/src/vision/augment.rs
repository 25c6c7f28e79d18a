//! Random changes to images in training. All randomness comes from the given generator.
//!
//! He et al. *Deep Residual Learning*. CVPR 2016. <https://arxiv.org/abs/1512.03385>

use moe::config;
use rand::{Rng, RngExt};

use super::image::Image;

config! {
    /// Random changes to images in training; none by default.
    pub struct Augment {
        /// The width in pixels of the black border put around an image, before an image of the old size is
        /// cut out.
        pub crop: usize = 0,
        /// Whether images are flipped left to right with probability one half.
        pub flip: bool = false,
    }
}

impl Augment {
    /// Checks the settings against images of `[channels, height, width]`.
    pub(crate) fn check(&self, [_, height, width]: [usize; 3]) -> Result<(), String> {
        match self.crop < height.min(width) {
            true => Ok(()),
            false => Err(format!(
                "augment.crop = {}: images have only {height} x {width} pixels",
                self.crop
            )),
        }
    }

    /// Changes one image at random.
    pub(crate) fn change(&self, mut image: Image, rng: &mut impl Rng) -> Image {
        if self.crop > 0 {
            image = crop(&image, self.crop, rng);
        }
        if self.flip && rng.random() {
            image = flip(&image);
        }
        image
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
    fn what_does_not_fit_is_named() {
        let check = |crop| Augment { crop, flip: true }.check([1, 8, 6]);
        assert_eq!(check(6).unwrap_err(), "augment.crop = 6: images have only 8 x 6 pixels");
        assert_eq!(check(5), Ok(()));
    }
}
