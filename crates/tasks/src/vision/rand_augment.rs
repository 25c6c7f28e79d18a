//! RandAugment: operations drawn from a list, all of one magnitude.
//!
//! Cubuk et al. *RandAugment*. NeurIPS 2020. <https://arxiv.org/abs/1909.13719>
//! Cubuk et al. *AutoAugment*. CVPR 2019. <https://arxiv.org/abs/1805.09501>, table 6: the ranges
//!
//! Differs from the papers: places between pixels are mixed from four instead of taken from the
//! nearest one, and what comes in from outside is black instead of grey. Solarize gets stronger
//! with the magnitude, as it should; in AutoAugment it gets weaker.

use rand::{Rng, RngExt};

use super::picture::Picture;

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
pub(crate) fn change(picture: Picture, magnitude: f64, rng: &mut impl Rng) -> Picture {
    let operation = ALL[rng.random_range(0..ALL.len())];
    let level = (magnitude / 10.0) as f32;
    let signed = if rng.random() { level } else { -level };
    apply(operation, picture, level, signed)
}

fn apply(operation: Operation, picture: Picture, level: f32, signed: f32) -> Picture {
    // Of blends 1 is the picture itself, 0 the other end.
    let factor = 1.0 + 0.9 * signed;
    match operation {
        Operation::Identity => picture,
        Operation::AutoContrast => by_channel(picture, stretch),
        Operation::Equalize => by_channel(picture, equalize),
        Operation::Rotate => {
            let (sin, cos) = (signed * 30.0).to_radians().sin_cos();
            affine(&picture, [cos, -sin, 0.0, sin, cos, 0.0])
        }
        Operation::Solarize => {
            let threshold = 1.0 - level;
            picture.map(|v| if v >= threshold && level > 0.0 { 1.0 - v } else { v })
        }
        Operation::Color => {
            let grey = picture.grey();
            blend(picture, factor, |i, area| grey[i % area])
        }
        Operation::Posterize => {
            let mask = 255_u8 << (level * 4.0).round() as u32;
            picture.map(|v| f32::from((v * 255.0).round() as u8 & mask) / 255.0)
        }
        Operation::Contrast => {
            let grey = picture.grey();
            let mean = grey.iter().sum::<f32>() / grey.len() as f32;
            blend(picture, factor, |_, _| mean)
        }
        Operation::Brightness => blend(picture, factor, |_, _| 0.0),
        Operation::Sharpness => {
            let smooth = smooth(&picture);
            blend(picture, factor, |i, _| smooth.values[i])
        }
        Operation::ShearX => affine(&picture, [1.0, 0.3 * signed, 0.0, 0.0, 1.0, 0.0]),
        Operation::ShearY => affine(&picture, [1.0, 0.0, 0.0, 0.3 * signed, 1.0, 0.0]),
        Operation::TranslateX => {
            let by = shift(picture.width) * signed;
            affine(&picture, [1.0, 0.0, by, 0.0, 1.0, 0.0])
        }
        Operation::TranslateY => {
            let by = shift(picture.height) * signed;
            affine(&picture, [1.0, 0.0, 0.0, 0.0, 1.0, by])
        }
    }
}

/// The farthest that a side of `n` pixels moves: AutoAugment's 150 of 331.
fn shift(n: usize) -> f32 {
    150.0 / 331.0 * n as f32
}

/// Each place (x, y), counted from the centre, gets what was at (a x + b y + c, d x + e y + f).
fn affine(picture: &Picture, [a, b, c, d, e, f]: [f32; 6]) -> Picture {
    let centre = |n: usize| (n as f32 - 1.0) / 2.0;
    let (mid_y, mid_x) = (centre(picture.height), centre(picture.width));
    Picture::from_fn(picture.shape(), |channel, y, x| {
        let (y, x) = (y as f32 - mid_y, x as f32 - mid_x);
        let (from_x, from_y) = (a * x + b * y + c + mid_x, d * x + e * y + f + mid_y);
        picture.between(Picture::at_or_black, channel, from_y, from_x)
    })
}

/// `factor` of the picture and the rest of another one, which is given by index and channel size.
fn blend(mut picture: Picture, factor: f32, other: impl Fn(usize, usize) -> f32) -> Picture {
    let area = picture.height * picture.width;
    for (i, value) in picture.values.iter_mut().enumerate() {
        *value = (other(i, area) * (1.0 - factor) + *value * factor).clamp(0.0, 1.0);
    }
    picture
}

fn by_channel(mut picture: Picture, change: fn(&mut [f32])) -> Picture {
    picture.values.chunks_mut(picture.height * picture.width).for_each(change);
    picture
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
fn smooth(picture: &Picture) -> Picture {
    let (last_y, last_x) = (picture.height - 1, picture.width - 1);
    Picture::from_fn(picture.shape(), |c, y, x| {
        if y == 0 || x == 0 || y == last_y || x == last_x {
            return picture.at(c, y, x);
        }
        let around = (0..9).map(|i| picture.at(c, y + i / 3 - 1, x + i % 3 - 1));
        (around.sum::<f32>() + 4.0 * picture.at(c, y, x)) / 13.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn colours() -> Picture {
        Picture::from_fn([3, 4, 4], |c, y, x| (c * 16 + y * 4 + x) as f32 / 47.0)
    }

    fn close(a: &Picture, b: &Picture) {
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
        let picture = Picture::from_fn([1, 2, 2], |_, y, x| (2 * y + x) as f32);
        let turned = affine(&picture, [0.0, -1.0, 0.0, 1.0, 0.0, 0.0]);
        close(&turned, &Picture { values: vec![1.0, 3.0, 0.0, 2.0], ..picture });
    }

    #[test]
    fn shifts_are_a_share_of_the_side() {
        // Ten pixels by 150 / 331 of ten are 4.53.
        let picture = Picture::from_fn([1, 1, 10], |_, _, x| x as f32);
        let moved = apply(Operation::TranslateX, picture, 1.0, 1.0);
        assert!((moved.values[0] - 4.5317).abs() < 1e-3, "{moved:?}");
        assert_eq!(moved.values[9], 0.0);
    }

    #[test]
    fn values_by_hand() {
        let grey =
            |values: [f32; 4]| Picture { channels: 1, height: 2, width: 2, values: values.into() };
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
    fn equalize_makes_a_dark_picture_even() {
        // 1,024 values on four dark bytes, 256 each: step (1024 - 256) / 255 = 3.
        let picture = Picture::from_fn([1, 32, 32], |_, y, _| (y / 8) as f32 / 255.0);
        let even = by_channel(picture, equalize);
        // (1 + 256 i) / 3 for i = 0 to 3: 0, 85, 171, 256 at most 255.
        for (row, byte) in [(0, 0.0), (8, 85.0), (16, 171.0), (24, 255.0)] {
            assert_eq!(even.at(0, row, 0), byte / 255.0);
        }
    }
}
