//! Generated grains, of the same form as the published set.
//!
//! Five classes differ in length, width, hue and in how often they have a chalky spot. Each grain is drawn in
//! linear light, with a soft edge, at a random angle and place. Light and background depend on the capture,
//! and the first three captures of a class are brighter, as in the published set. The sensor records one
//! colour per pixel (GRBG), with shot and read noise:
//!
//! raw = black + white g (light + sqrt(light / 2000) n_1 + 0.002 n_2), n normal
//!
//! with g the sensor's share of each colour. The RGB image is made from the mosaic by `raw::Isp`, bilinear,
//! with the curve of BT.709 and no white balance, so that it is dark and has a colour cast like the published
//! images; it begins one row before the mosaic.

use ::raw::{Isp, Mosaic};
use moe::stable_hash;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::set::{CFA, LEVELS, Pairs, RGB_ROWS_AHEAD};

/// A class: name, length and width as shares of the side, red, green and blue, the share of chalky grains.
type Class = (&'static str, f32, f32, [f32; 3], f64);

const CLASSES: [Class; 5] = [
    ("arborio", 0.50, 0.27, [0.34, 0.34, 0.31], 0.7),
    ("basmati", 0.68, 0.15, [0.33, 0.33, 0.30], 0.1),
    ("brown", 0.58, 0.20, [0.30, 0.24, 0.15], 0.0),
    ("jasmin", 0.60, 0.18, [0.36, 0.36, 0.34], 0.1),
    ("parboiled", 0.58, 0.20, [0.35, 0.30, 0.19], 0.0),
];

/// The sensor's share of red, green and blue.
const SENSOR: [f32; 3] = [0.45, 1.0, 0.55];

/// Captures of a class.
const CAPTURES: usize = 10;

/// `per_capture` samples of each capture, with `side` rows and columns.
pub(super) fn draw(per_capture: usize, side: usize) -> Pairs {
    let mut pairs = Pairs {
        classes: CLASSES.iter().map(|class| class.0.to_string()).collect(),
        labels: Vec::new(),
        captures: Vec::new(),
        size: [side, side],
        mosaics: Vec::new(),
        rgb: Vec::new(),
    };
    for (class, of_class) in CLASSES.iter().enumerate() {
        for capture in 0..CAPTURES {
            let mut rng = rng(&format!("{}/{capture}", of_class.0));
            let bright = if capture < 3 { 1.35 } else { 1.0 };
            let exposure = bright * rng.random_range(0.92..1.08_f32);
            let background = rng.random_range(0.030..0.040_f32);
            for number in 0..per_capture {
                let light = Light { exposure, background };
                let mosaic = mosaic(of_class, light, number, capture, side);
                let developed = Isp::PLAIN.develop(&mosaic).expect("it has three rows");
                let shown = mosaic.crop([2, 0], [side, side]).expect("it is two rows higher");
                pairs.mosaics.extend(shown.values);
                let rows = &developed[3 * side * (2 - RGB_ROWS_AHEAD)..][..3 * side * side];
                pairs.rgb.extend((0..3).flat_map(|c| rows.iter().skip(c).step_by(3)));
                pairs.labels.push(class as i32);
                pairs.captures.push(class * CAPTURES + capture);
            }
        }
    }
    pairs
}

fn rng(what: &str) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(stable_hash(&format!("grains/{what}")))
}

/// The light of a capture.
#[derive(Clone, Copy)]
struct Light {
    exposure: f32,
    background: f32,
}

/// The mosaic of one grain, with two additional rows above.
fn mosaic(
    (name, length, width, hue, chalk): &Class,
    light: Light,
    number: usize,
    capture: usize,
    side: usize,
) -> Mosaic {
    let [black, white] = LEVELS;
    let mut rng = rng(&format!("{name}/{capture}/{number}"));
    let scale = side as f32 / 2.0;
    let mut about = |value: f32, share: f32| value * rng.random_range(1.0 - share..1.0 + share);
    let half = [about(*length, 0.12) * scale, about(*width, 0.12) * scale];
    let (tint, place) = (about(1.0, 0.12), [0, 1].map(|_| about(1.0, 1.0) - 1.0));
    let angle = rng.random_range(0.0..std::f32::consts::PI);
    let chalky = rng.random_bool(*chalk);
    let (sin, cos) = (sine(angle), sine(angle + std::f32::consts::FRAC_PI_2));
    let mut values = Vec::with_capacity((side + 2) * side);
    for at in 0..(side + 2) * side {
        let (row, column) = (at / side, at % side);
        let y = row as f32 - 1.5 - scale - place[0];
        let x = column as f32 + 0.5 - scale - place[1];
        let along = [(x * cos + y * sin) / half[0], (y * cos - x * sin) / half[1]];
        let distance = (along[0] * along[0] + along[1] * along[1]).sqrt();
        // 1 in the grain, 0 outside, over about two pixels.
        let inside = ((1.0 - distance) * half[1] / 2.0 + 0.5).clamp(0.0, 1.0);
        let spot = if chalky && distance < 0.45 { 1.5 } else { 1.0 };
        let colour = CFA.at(row, column) as usize;
        let grain = hue[colour] * tint * spot * (1.0 - 0.3 * distance.min(1.0));
        let seen = light.exposure * (light.background + inside * (grain - light.background));
        let signal = seen * SENSOR[colour];
        let [shot, read]: [f32; 2] = [0, 1].map(|_| StandardNormal.sample(&mut rng));
        let noisy = signal + (signal / 2000.0).sqrt() * shot + 0.002 * read;
        values.push((black + white * noisy).round().clamp(0.0, 65535.0) as u16);
    }
    Mosaic::new([side, side + 2], CFA, LEVELS, values).expect("it has side + 2 rows")
}

/// The sine of an angle from 0 to 3 pi / 2, with the same bits on every system: its series about pi / 2.
fn sine(angle: f32) -> f32 {
    let x = f64::from(angle) - std::f64::consts::FRAC_PI_2;
    let (mut term, mut sum) = (1.0, 1.0);
    for i in 1..12 {
        term *= -x * x / f64::from((2 * i - 1) * (2 * i));
        sum += term;
    }
    sum as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sine_is_right() {
        for i in 0..=48 {
            let angle = i as f32 / 48.0 * 1.5 * std::f32::consts::PI;
            assert!((sine(angle) - angle.sin()).abs() < 1e-6, "{angle}");
        }
    }

    #[test]
    fn drawn_again_it_is_the_same() {
        let [a, b] = [0, 1].map(|_| draw(1, 16));
        assert_eq!((&a.mosaics, &a.rgb), (&b.mosaics, &b.rgb));
        assert_eq!((a.len(), a.captures.last()), (50, Some(&49)));
    }

    #[test]
    fn it_has_the_facts_of_the_published_set() {
        let pairs = draw(2, 40);
        let mut means = [0.0; 4];
        for mosaic in pairs.mosaics.chunks_exact(1600) {
            for (at, value) in mosaic.iter().enumerate() {
                means[at / 40 % 2 * 2 + at % 2] += f64::from(*value);
            }
        }
        let [g1, r, b, g2] = means;
        assert!((g1 / g2 - 1.0).abs() < 0.01 && r < 0.6 * g1 && b < 0.7 * g1, "{means:?}");
        // Row r of RGB is row r - 1 of the mosaic: at a green pixel the code follows from the number.
        let (mosaic, rgb) = (pairs.mosaic(0), pairs.rgb(0));
        let green = (0..39 * 40).filter(|at| CFA.at(at / 40, at % 40) as usize == 1);
        for at in green {
            let light = mosaic.normal(mosaic.values[at]);
            let code = ::raw::quantise(::raw::Gamma::Bt709.of(light));
            assert!(code.abs_diff(rgb[1600 + at + 40 * RGB_ROWS_AHEAD]) <= 1, "{at}");
        }
        // The first three captures are brighter.
        let mean =
            |sample: usize| pairs.mosaic(sample).values.iter().map(|v| f64::from(*v)).sum::<f64>();
        assert!((0..6).map(mean).sum::<f64>() > 1.1 * (6..12).map(mean).sum::<f64>());
    }
}
