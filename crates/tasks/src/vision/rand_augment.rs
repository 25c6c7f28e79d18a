//! RandAugment: operations drawn from a list, all of one magnitude.
//!
//! Cubuk et al. *RandAugment*. NeurIPS 2020. <https://arxiv.org/abs/1909.13719>
//! Cubuk et al. *AutoAugment*. CVPR 2019. <https://arxiv.org/abs/1805.09501>, table 6: the ranges
//!
//! Differs from the papers: places between pixels are mixed from four instead of taken from the
//! nearest one, and what comes in from outside is black instead of grey. Solarize gets stronger
//! with the magnitude, as it should; in AutoAugment it gets weaker.

use rand::{Rng, RngExt};

use super::image::Image;

/// The fourteen operations of the paper.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Operation {
    Identity,
    AutoContrast,
    Equalize,
    Rotate,
    Solarize,
    Color,
    Posterize,
    Contrast,
    Brightness,
    Sharpness,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
}

const ALL: [Operation; 14] = [
    Operation::Identity,
    Operation::AutoContrast,
    Operation::Equalize,
    Operation::Rotate,
    Operation::Solarize,
    Operation::Color,
    Operation::Posterize,
    Operation::Contrast,
    Operation::Brightness,
    Operation::Sharpness,
    Operation::ShearX,
    Operation::ShearY,
    Operation::TranslateX,
    Operation::TranslateY,
];

/// One operation, drawn from the list, of a magnitude from 0 to 10; those that have a direction
/// draw it too.
pub(crate) fn change(image: Image, magnitude: f64, rng: &mut impl Rng) -> Image {
    let operation = ALL[rng.random_range(0..ALL.len())];
    let level = (magnitude / 10.0) as f32;
    let signed = if rng.random() { level } else { -level };
    apply(operation, image, level, signed)
}

fn apply(operation: Operation, image: Image, level: f32, signed: f32) -> Image {
    // Of blends 1 is the image itself, 0 the other end.
    let factor = 1.0 + 0.9 * signed;
    match operation {
        Operation::Identity => image,
        Operation::AutoContrast => by_channel(image, stretch),
        Operation::Equalize => by_channel(image, equalize),
        Operation::Rotate => {
            let (sin, cos) = (signed * 30.0).to_radians().sin_cos();
            affine(&image, [cos, -sin, 0.0, sin, cos, 0.0])
        }
        Operation::Solarize => {
            let threshold = 1.0 - level;
            image.map(|v| if v >= threshold && level > 0.0 { 1.0 - v } else { v })
        }
        Operation::Color => {
            let grey = image.grey();
            blend(image, factor, |i, area| grey[i % area])
        }
        Operation::Posterize => {
            let mask = 255_u8 << (level * 4.0).round() as u32;
            image.map(|v| f32::from((v * 255.0).round() as u8 & mask) / 255.0)
        }
        Operation::Contrast => {
            let grey = image.grey();
            let mean = grey.iter().sum::<f32>() / grey.len() as f32;
            blend(image, factor, |_, _| mean)
        }
        Operation::Brightness => blend(image, factor, |_, _| 0.0),
        Operation::Sharpness => {
            let smooth = smooth(&image);
            blend(image, factor, |i, _| smooth.values[i])
        }
        Operation::ShearX => affine(&image, [1.0, 0.3 * signed, 0.0, 0.0, 1.0, 0.0]),
        Operation::ShearY => affine(&image, [1.0, 0.0, 0.0, 0.3 * signed, 1.0, 0.0]),
        Operation::TranslateX => {
            let by = shift(image.width) * signed;
            affine(&image, [1.0, 0.0, by, 0.0, 1.0, 0.0])
        }
        Operation::TranslateY => {
            let by = shift(image.height) * signed;
            affine(&image, [1.0, 0.0, 0.0, 0.0, 1.0, by])
        }
    }
}

/// The farthest that a side of `n` pixels moves: AutoAugment's 150 of 331.
fn shift(n: usize) -> f32 {
    150.0 / 331.0 * n as f32
}

/// Each place (x, y), counted from the centre, gets what was at (a x + b y + c, d x + e y + f).
fn affine(image: &Image, [a, b, c, d, e, f]: [f32; 6]) -> Image {
    let centre = |n: usize| (n as f32 - 1.0) / 2.0;
    let (mid_y, mid_x) = (centre(image.height), centre(image.width));
    Image::from_fn(image.shape(), |channel, y, x| {
        let (y, x) = (y as f32 - mid_y, x as f32 - mid_x);
        let (from_x, from_y) = (a * x + b * y + c + mid_x, d * x + e * y + f + mid_y);
        image.between(Image::at_or_black, channel, from_y, from_x)
    })
}

/// `factor` of the image and the rest of another one, which is given by index and channel size.
fn blend(mut image: Image, factor: f32, other: impl Fn(usize, usize) -> f32) -> Image {
    let area = image.height * image.width;
    for (i, value) in image.values.iter_mut().enumerate() {
        *value = (other(i, area) * (1.0 - factor) + *value * factor).clamp(0.0, 1.0);
    }
    image
}

fn by_channel(mut image: Image, change: fn(&mut [f32])) -> Image {
    image.values.chunks_mut(image.height * image.width).for_each(change);
    image
}

/// From the darkest to the brightest becomes from 0 to 1.
fn stretch(channel: &mut [f32]) {
    let low = channel.iter().copied().fold(f32::INFINITY, f32::min);
    let high = channel.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if high > low {
        channel.iter_mut().for_each(|value| *value = (*value - low) / (high - low));
    }
}

/// Every brightness becomes about as frequent as every other.
fn equalize(channel: &mut [f32]) {
    let byte = |value: f32| (value * 255.0).round() as usize;
    let mut counts = [0_usize; 256];
    channel.iter().for_each(|value| counts[byte(*value)] += 1);
    let brightest = counts.iter().rev().find(|count| **count > 0).copied().unwrap_or(0);
    let step = (channel.len() - brightest) / 255;
    if step == 0 {
        return;
    }
    let mut below = step / 2;
    let table = counts.map(|count| {
        let value = (below / step).min(255);
        below += count;
        value as f32 / 255.0
    });
    channel.iter_mut().for_each(|value| *value = table[byte(*value)]);
}

/// Each inner value mixed with its eight neighbours, itself counting five times.
fn smooth(image: &Image) -> Image {
    let (last_y, last_x) = (image.height - 1, image.width - 1);
    Image::from_fn(image.shape(), |c, y, x| {
        if y == 0 || x == 0 || y == last_y || x == last_x {
            return image.at(c, y, x);
        }
        let around = (0..9).map(|i| image.at(c, y + i / 3 - 1, x + i % 3 - 1));
        (around.sum::<f32>() + 4.0 * image.at(c, y, x)) / 13.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn colours() -> Image {
        Image::from_fn([3, 4, 4], |c, y, x| (c * 16 + y * 4 + x) as f32 / 47.0)
    }

    fn close(a: &Image, b: &Image) {
        let far = a.values.iter().zip(&b.values).any(|(a, b)| (a - b).abs() > 1e-5);
        assert!(!far, "{a:?} {b:?}");
    }

    #[test]
    fn magnitude_zero_changes_nothing() {
        for operation in ALL {
            if !matches!(operation, Operation::AutoContrast | Operation::Equalize) {
                let (before, changed) = (colours(), apply(operation, colours(), 0.0, 0.0));
                let far = changed.values.iter().zip(&before.values);
                let far = far.fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
                // Posterize goes through whole bytes.
                assert!(far <= 0.5 / 255.0 + 1e-6, "{operation:?}: {far}");
            }
        }
    }

    #[test]
    fn values_stay_between_black_and_white() {
        for operation in ALL {
            for signed in [-1.0, 1.0] {
                let changed = apply(operation, colours(), 1.0, signed);
                let inside = changed.values.iter().all(|v| (-1e-6..=1.0 + 1e-6).contains(v));
                assert!(inside, "{operation:?}");
                assert_eq!(changed.shape(), [3, 4, 4]);
            }
        }
    }

    #[test]
    fn a_quarter_turn_of_the_map_by_hand() {
        // (x, y) gets what was at (-y, x): the first row becomes the first column, from below.
        let image = Image::from_fn([1, 2, 2], |_, y, x| (2 * y + x) as f32);
        let turned = affine(&image, [0.0, -1.0, 0.0, 1.0, 0.0, 0.0]);
        close(&turned, &Image { values: vec![1.0, 3.0, 0.0, 2.0], ..image });
    }

    #[test]
    fn shifts_are_a_share_of_the_side() {
        // Ten pixels by 150 / 331 of ten are 4.53.
        let image = Image::from_fn([1, 1, 10], |_, _, x| x as f32);
        let moved = apply(Operation::TranslateX, image, 1.0, 1.0);
        assert!((moved.values[0] - 4.5317).abs() < 1e-3, "{moved:?}");
        assert_eq!(moved.values[9], 0.0);
    }

    #[test]
    fn values_by_hand() {
        let grey =
            |values: [f32; 4]| Image { channels: 1, height: 2, width: 2, values: values.into() };
        let solarized = apply(Operation::Solarize, grey([0.1, 0.4, 0.6, 0.9]), 0.5, 0.5);
        close(&solarized, &grey([0.1, 0.4, 0.4, 0.1]));
        let four_bits = apply(
            Operation::Posterize,
            grey([255.0, 100.0, 15.0, 16.0].map(|v| v / 255.0)),
            1.0,
            1.0,
        );
        close(&four_bits, &grey([240.0, 96.0, 0.0, 16.0].map(|v| v / 255.0)));
        let darker = apply(Operation::Brightness, grey([0.2, 0.4, 0.6, 1.0]), 1.0, -1.0);
        close(&darker, &grey([0.02, 0.04, 0.06, 0.1]));
        let flat = apply(Operation::Contrast, grey([0.0, 0.0, 1.0, 1.0]), 1.0, -1.0);
        close(&flat, &grey([0.45, 0.45, 0.55, 0.55]));
        close(
            &apply(Operation::AutoContrast, grey([0.2, 0.3, 0.4, 0.6]), 1.0, 1.0),
            &grey([0.0, 0.25, 0.5, 1.0]),
        );
    }

    #[test]
    fn equalize_makes_a_dark_image_even() {
        // 1,024 values on four dark bytes, 256 each: step (1024 - 256) / 255 = 3.
        let image = Image::from_fn([1, 32, 32], |_, y, _| (y / 8) as f32 / 255.0);
        let even = by_channel(image, equalize);
        // (1 + 256 i) / 3 for i = 0 to 3: 0, 85, 171, 256 at most 255.
        for (row, byte) in [(0, 0.0), (8, 85.0), (16, 171.0), (24, 255.0)] {
            assert_eq!(even.at(0, row, 0), byte / 255.0);
        }
    }
}
