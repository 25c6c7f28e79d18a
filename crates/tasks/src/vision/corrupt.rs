//! Common corruptions of images, each at five severities.
//!
//! Hendrycks, Dietterich. *Benchmarking Neural Network Robustness to Common Corruptions and
//! Perturbations*. ICLR 2019. <https://arxiv.org/abs/1903.12261>; strengths as in CIFAR-10-C
//!
//! Differs from the paper: no glass and zoom blur, no weather, no elastic change; Gaussian blur and speckle
//! noise are from its extra set. Motion blur samples its line between pixels.

use std::{fmt, str::FromStr};

use rand::{Rng, RngExt};
use rand_distr::{Distribution, Poisson, StandardNormal};
use serde::{Deserialize, Serialize};

use super::{blur, image::Image, jpeg};

/// The kind of corruption of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    GaussianNoise,
    ShotNoise,
    ImpulseNoise,
    SpeckleNoise,
    DefocusBlur,
    GaussianBlur,
    MotionBlur,
    Brightness,
    Contrast,
    Pixelate,
    Jpeg,
}

const KINDS: [(&str, Kind); 11] = [
    ("gaussian-noise", Kind::GaussianNoise),
    ("shot-noise", Kind::ShotNoise),
    ("impulse-noise", Kind::ImpulseNoise),
    ("speckle-noise", Kind::SpeckleNoise),
    ("defocus-blur", Kind::DefocusBlur),
    ("gaussian-blur", Kind::GaussianBlur),
    ("motion-blur", Kind::MotionBlur),
    ("brightness", Kind::Brightness),
    ("contrast", Kind::Contrast),
    ("pixelate", Kind::Pixelate),
    ("jpeg", Kind::Jpeg),
];

/// A corruption and its severity, written `"contrast 3"`; severities are 1 to 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Corruption {
    kind: Kind,
    severity: u8,
}

impl FromStr for Corruption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
        let wrong = || {
            format!(
                "corrupt = {text:?}; expected a name and a severity of 1 to 5, such as \"contrast 3\"; \
                 names: {}",
                known.join(", ")
            )
        };
        let (name, severity) = text.split_once(' ').ok_or_else(wrong)?;
        let (_, kind) = KINDS.iter().find(|(known, _)| *known == name).ok_or_else(wrong)?;
        match severity.trim().parse() {
            Ok(severity @ 1..=5) => Ok(Self { kind: *kind, severity }),
            _ => Err(wrong()),
        }
    }
}

impl TryFrom<String> for Corruption {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Corruption> for String {
    fn from(corruption: Corruption) -> String {
        corruption.to_string()
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = KINDS.iter().find(|(_, kind)| *kind == self.kind).map_or("", |(name, _)| name);
        write!(f, "{name} {}", self.severity)
    }
}

impl Corruption {
    /// The image, corrupted. The same generator gives the same image.
    pub fn apply(self, image: Image, rng: &mut impl Rng) -> Image {
        let of = |strengths: [f32; 5]| strengths[usize::from(self.severity) - 1];
        let corrupted = match self.kind {
            Kind::GaussianNoise => {
                let c = of([0.04, 0.06, 0.08, 0.09, 0.10]);
                image.map(|v| v + c * normal(rng))
            }
            Kind::ShotNoise => {
                let c = of([500.0, 250.0, 100.0, 75.0, 50.0]);
                image.map(|v| poisson(v * c, rng) / c)
            }
            Kind::ImpulseNoise => {
                let c = of([0.01, 0.02, 0.03, 0.05, 0.07]);
                image.map(|v| match rng.random::<f32>() < c {
                    true => f32::from(u8::from(rng.random::<bool>())),
                    false => v,
                })
            }
            Kind::SpeckleNoise => {
                let c = of([0.06, 0.10, 0.12, 0.16, 0.20]);
                image.map(|v| v + v * c * normal(rng))
            }
            Kind::DefocusBlur => {
                let radius = of([0.3, 0.4, 0.5, 1.0, 1.5]);
                blur::defocus(&image, radius, of([0.4, 0.5, 0.6, 0.2, 0.1]))
            }
            Kind::GaussianBlur => blur::gaussian(&image, of([0.4, 0.6, 0.7, 0.8, 1.0])),
            Kind::MotionBlur => {
                let angle = rng.random_range(-45.0..45.0_f32).to_radians();
                let (radius, sigma) =
                    (of([6.0, 6.0, 6.0, 8.0, 9.0]), of([1.0, 1.5, 2.0, 2.0, 2.5]));
                blur::motion(&image, radius as usize, sigma, angle)
            }
            Kind::Brightness => brighten(image, of([0.05, 0.10, 0.15, 0.20, 0.30])),
            Kind::Contrast => flatten(image, of([0.75, 0.50, 0.40, 0.30, 0.15])),
            Kind::Pixelate => pixelate(&image, of([0.95, 0.90, 0.85, 0.75, 0.65])),
            Kind::Jpeg => jpeg::through(&image, of([80.0, 65.0, 58.0, 50.0, 40.0]) as u8),
        };
        corrupted.map(|v| v.clamp(0.0, 1.0))
    }
}

fn normal(rng: &mut impl Rng) -> f32 {
    StandardNormal.sample(rng)
}

/// A count with this mean; 0 for a mean of 0.
fn poisson(mean: f32, rng: &mut impl Rng) -> f32 {
    Poisson::new(mean).map_or(0.0, |counts| counts.sample(rng))
}

/// Raises the value of each pixel (the V of HSV: its largest channel), and keeps hue and saturation.
fn brighten(mut image: Image, by: f32) -> Image {
    let area = image.height * image.width;
    for pixel in 0..area {
        let value = (0..image.channels).map(|c| image.values[c * area + pixel]);
        let value = value.fold(0.0, f32::max);
        let raised = (value + by).min(1.0);
        for c in 0..image.channels {
            let channel = &mut image.values[c * area + pixel];
            *channel = if value > 0.0 { *channel * raised / value } else { raised };
        }
    }
    image
}

/// Moves each channel towards its mean.
fn flatten(mut image: Image, factor: f32) -> Image {
    for channel in image.values.chunks_mut(image.height * image.width) {
        let mean = channel.iter().sum::<f32>() / channel.len() as f32;
        channel.iter_mut().for_each(|value| *value = (*value - mean) * factor + mean);
    }
    image
}

/// Averages an image into fewer pixels, and repeats each of them.
fn pixelate(image: &Image, factor: f32) -> Image {
    let [channels, height, width] = image.shape();
    let fewer = |n: usize| ((n as f32 * factor) as usize).max(1);
    let (rows, columns) = (fewer(height), fewer(width));
    let small = Image::from_fn([channels, rows, columns], |c, y, x| {
        let (ys, xs) = (span(y, height, rows), span(x, width, columns));
        let places = ys.iter().flat_map(|y| xs.iter().map(move |x| (y, x)));
        let weighted = places.map(|((y, wy), (x, wx))| image.at(c, *y, *x) * wy * wx);
        weighted.sum::<f32>()
    });
    Image::from_fn(image.shape(), |c, y, x| {
        small.at(c, (2 * y + 1) * rows / (2 * height), (2 * x + 1) * columns / (2 * width))
    })
}

/// The pixels that part `i` of `parts` equal parts of `n` pixels covers, with their weights.
fn span(i: usize, n: usize, parts: usize) -> Vec<(usize, f32)> {
    let size = n as f32 / parts as f32;
    let (from, to) = (i as f32 * size, (i + 1) as f32 * size);
    let places = from as usize..(to.ceil() as usize).min(n);
    let covered = |place: usize| (place as f32 + 1.0).min(to) - (place as f32).max(from);
    places.map(|place| (place, covered(place) / size)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    /// A bright disc on a dark ground, in three colours.
    fn disc() -> Image {
        Image::from_fn([3, 16, 16], |c, y, x| {
            let distance = (y as f32 - 7.5).hypot(x as f32 - 7.5);
            if distance < 5.0 { 0.8 - 0.2 * c as f32 } else { 0.1 }
        })
    }

    fn corrupted(text: &str) -> Image {
        let corruption: Corruption = text.parse().unwrap();
        corruption.apply(disc(), &mut ChaCha8Rng::seed_from_u64(7))
    }

    fn distance(a: &Image, b: &Image) -> f32 {
        let squares = a.values.iter().zip(&b.values).map(|(a, b)| (a - b).powi(2));
        (squares.sum::<f32>() / a.values.len() as f32).sqrt()
    }

    #[test]
    fn every_corruption_gets_worse_with_severity() {
        for (name, _) in KINDS {
            let far = |severity| distance(&corrupted(&format!("{name} {severity}")), &disc());
            let [one, three, five] = [1, 3, 5].map(far);
            // Defocus of a third of a pixel is hardly any, as in the published code.
            assert!(one > 0.0 || name == "defocus-blur", "{name}");
            assert!(five > 1.2 * one, "{name}: {one} {three} {five}");
            // Fewer pixels may happen to fit a disc better.
            let between = one <= three && three <= five;
            assert!(between || name == "pixelate", "{name}: {one} {three} {five}");
            let again = corrupted(&format!("{name} 5"));
            assert_eq!(again, corrupted(&format!("{name} 5")), "{name}");
            assert!(again.values.iter().all(|v| (0.0..=1.0).contains(v)), "{name}");
            assert_eq!(again.shape(), [3, 16, 16]);
        }
    }

    #[test]
    fn noises_have_their_strength() {
        let flat = || Image::from_fn([1, 100, 100], |_, _, _| 0.5);
        let deviation = |text: &str| {
            let corruption: Corruption = text.parse().unwrap();
            distance(&corruption.apply(flat(), &mut ChaCha8Rng::seed_from_u64(1)), &flat())
        };
        // The standard error of a standard deviation over 10,000 is 0.7 %.
        for (text, expected) in [
            ("gaussian-noise 2", 0.06),
            ("shot-noise 3", (0.5_f32 / 100.0).sqrt()),
            ("speckle-noise 5", 0.1),
            ("impulse-noise 4", (0.05_f32 * 0.25).sqrt()),
        ] {
            let found = deviation(text);
            assert!((found / expected - 1.0).abs() < 0.1, "{text}: {found} {expected}");
        }
    }

    #[test]
    fn brightness_contrast_and_pixels_by_hand() {
        let pixel =
            |values: [f32; 3]| Image { channels: 3, height: 1, width: 1, values: values.into() };
        let bright = brighten(pixel([0.5, 0.25, 0.0]), 0.25);
        assert_eq!(bright.values, [0.75, 0.375, 0.0]);
        assert_eq!(brighten(pixel([0.0; 3]), 0.25).values, [0.25; 3]);
        let line =
            |values: [f32; 4]| Image { channels: 1, height: 1, width: 4, values: values.into() };
        assert_eq!(flatten(line([0.0, 0.0, 1.0, 1.0]), 0.5).values, [0.25, 0.25, 0.75, 0.75]);
        // Three parts of four places: 1 + a third of the next.
        let parts = pixelate(&line([0.0, 0.4, 0.8, 1.0]), 0.75);
        let expected = [0.1, 0.6, 0.6, 0.95];
        assert!(parts.values.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{parts:?}");
    }

    #[test]
    fn what_is_misspelt_is_named_with_the_known() {
        for text in ["contrast", "contrast 6", "contrats 3", "contrast x"] {
            let err = text.parse::<Corruption>().unwrap_err();
            assert!(err.contains(text) && err.contains("pixelate, jpeg"), "{err}");
        }
        assert_eq!("jpeg 4".parse::<Corruption>().unwrap().to_string(), "jpeg 4");
    }
}
