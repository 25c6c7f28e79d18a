//! Images of the pitch with its lines: `SPLIT/00000.json` with `00000.png` or `.jpg`, real or generated.
//!
//! Generated images show the lines that a camera beside the pitch sees, with players in front of them, uneven
//! grass and noise. Cameras are drawn as in the specification of the challenge's cameras: pan up to 35
//! degrees to either side, tilt 65 to 85, focal length 900 to 3000, 50 to 90 metres off the pitch, 10 to 25
//! above it.

use std::{collections::BTreeMap, path::Path};

use image::{GrayImage, ImageFormat, imageops::FilterType};
use moe::{config, stable_hash};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use soccernet::{
    Judge,
    format::lines::Lines,
    pitch::{
        Point,
        camera::Camera,
        model::Model,
        view::{IMAGE, polylines},
    },
};

use crate::{
    DataDir, DataError,
    data::{
        decode_image,
        files::{Files, content, fault, wrong},
        fits,
    },
};

config! {
    /// Images of the pitch: real or generated.
    pub struct SoccerImagesConfig {
        /// The folder with `train`, `valid` and `test` in the data folder. Images are generated if none is
        /// given.
        pub folder: Option<String> = None,
        /// Generated images for training.
        pub train: usize = 1500,
        /// Generated images of the validation split.
        pub valid: usize = 100,
        /// Generated images of the test split.
        pub test: usize = 150,
        /// The width in pixels of an image in the form that a network gets, a multiple of 16; its height is
        /// nine sixteenths of it.
        pub width: usize = 96,
    }
}

impl SoccerImagesConfig {
    fn check(&self) -> Result<(), String> {
        let sizes = [("train", self.train), ("valid", self.valid), ("test", self.test)];
        if let Some((key, _)) = sizes.iter().find(|(_, count)| *count == 0) {
            return Err(format!("images.{key} = 0: must be at least 1"));
        }
        if !self.width.is_multiple_of(16) || !(16..=960).contains(&self.width) {
            let width = self.width;
            return Err(format!("images.width = {width}: must be a multiple of 16, up to 960"));
        }
        if self.folder.is_some() {
            return Ok(());
        }
        let counts = [
            ("images.train", self.train),
            ("images.valid", self.valid),
            ("images.test", self.test),
        ];
        let [height, width] = self.shape();
        fits(&counts, &[("rows", height), ("images.width", width)])
    }

    /// Rows and columns.
    pub(super) fn shape(&self) -> [usize; 2] {
        [self.width * 9 / 16, self.width]
    }
}

/// An image of the pitch with its lines.
pub(super) struct PitchImage {
    /// `00000`.
    pub(super) name: String,
    /// The file of annotations.
    pub(super) truth: Vec<u8>,
    pub(super) lines: Lines,
    /// Grey values from 0 to 1, row by row.
    pub(super) pixels: Vec<f32>,
}

/// Writes generated images as a folder or, if the name ends in `.zip`, as an archive.
///
/// # Errors
/// If the config does not fit, or the system refuses.
pub fn write_images(config: &SoccerImagesConfig, path: &Path) -> Result<(), DataError> {
    let config = &SoccerImagesConfig { folder: None, ..config.clone() };
    config.check().map_err(|message| wrong("images", message))?;
    let files: Vec<(String, Vec<u8>)> = generated(config).into_iter().collect();
    soccernet::write_files(path, &files).map_err(fault)
}

/// The images of the three splits.
pub(super) fn load(
    task: &str,
    config: &SoccerImagesConfig,
    data: &DataDir,
) -> Result<[Vec<PitchImage>; 3], DataError> {
    config.check().map_err(|message| wrong(task, message))?;
    let files = Files::new(data, config.folder.as_deref(), || generated(config));
    let read = |split: &str| -> Result<Vec<PitchImage>, DataError> {
        let is_truth = |name: &String| {
            let digits = name.strip_suffix(".json").unwrap_or_default();
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        let names = files.entries(split)?.into_iter().filter(is_truth);
        let all = names
            .map(|name| image(&files, split, &name, config.shape()))
            .collect::<Result<_, _>>()?;
        files.some(split, "files NUMBER.json and images", all)
    };
    Ok([read("train")?, read("valid")?, read("test")?])
}

fn image(
    files: &Files<'_>,
    split: &str,
    truth: &str,
    [height, width]: [usize; 2],
) -> Result<PitchImage, DataError> {
    let name = truth.trim_end_matches(".json").to_string();
    let file = format!("{split}/{truth}");
    let truth = files.read(&file)?;
    let lines = Lines::read(&truth, &file, &mut Judge::default()).map_err(fault)?;
    let kinds = ["png", "jpg"].map(|kind| format!("{split}/{name}.{kind}"));
    let found = kinds.iter().find(|file| files.has(file));
    let file =
        found.ok_or_else(|| content(&kinds[1], "the image is missing; expected .png or .jpg"))?;
    let image = decode_image(&files.read(file)?, None).map_err(|err| content(file, err))?;
    let image = image.into_luma8();
    let image = match image.dimensions() == (width as u32, height as u32) {
        true => image,
        false => image::imageops::resize(&image, width as u32, height as u32, FilterType::Triangle),
    };
    let pixels = image.into_raw().into_iter().map(|byte| f32::from(byte) / 255.0).collect();
    Ok(PitchImage { name, truth, lines, pixels })
}

/// The files of generated images.
fn generated(config: &SoccerImagesConfig) -> BTreeMap<String, Vec<u8>> {
    let model = Model::default();
    let mut files = BTreeMap::new();
    for (split, count) in [("train", config.train), ("valid", config.valid), ("test", config.test)]
    {
        let seed = stable_hash(&format!("generated pictures {split}"));
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for number in 0..count {
            let lines = lines(&model, &mut rng);
            let image = render(&lines, config.shape(), &mut rng);
            files.insert(format!("{split}/{number:05}.json"), annotations(&lines).write());
            files.insert(format!("{split}/{number:05}.png"), image);
        }
    }
    files
}

/// A camera beside the pitch.
fn camera(rng: &mut ChaCha8Rng) -> Camera {
    let focal = (rng.random_range(900_f64.ln()..3000_f64.ln())).exp();
    Camera {
        angles: [
            rng.random_range(-35.0..35.0),
            rng.random_range(65.0..85.0),
            0.5 * rng.sample::<f64, _>(StandardNormal),
        ],
        position: [
            rng.random_range(-5.0..5.0),
            rng.random_range(50.0..90.0),
            rng.random_range(-25.0..-10.0),
        ],
        focal: [focal; 2],
        principal: [480.0, 270.0],
        radial: [0.0; 6],
        tangential: [0.0; 2],
        prism: [0.0; 4],
    }
}

type Seen = Vec<(&'static str, Vec<Point>)>;

/// The lines in the view of a random camera that sees five lines or more.
fn lines(model: &Model, rng: &mut ChaCha8Rng) -> Seen {
    loop {
        let seen = polylines(&camera(rng), model);
        if seen.iter().filter(|(_, points)| points.len() > 1).count() >= 5 {
            return seen;
        }
    }
}

/// The ends of lines, nine points of circles, as annotators set them.
fn annotations(seen: &Seen) -> Lines {
    let [width, height] = IMAGE.map(|size| size - 1.0);
    let line = |(class, points): &(&'static str, Vec<Point>)| {
        let places: Vec<usize> = match class.contains("Circle") && points.len() >= 9 {
            true => (0..9).map(|at| at * (points.len() - 1) / 8).collect(),
            false => vec![0, points.len() - 1],
        };
        let point = |at: usize| [points[at][0] / width, points[at][1] / height];
        (class.to_string(), places.into_iter().map(point).collect())
    };
    Lines { lines: seen.iter().filter(|(_, points)| points.len() > 1).map(line).collect() }
}

/// An image as PNG.
fn render(seen: &Seen, [height, width]: [usize; 2], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let scale = width as f64 / IMAGE[0];
    let mut pixels = vec![0.0_f32; width * height];
    let mut mark = |x: f64, y: f64, value: f32| {
        // A line is one pixel wide: its value is distributed over the four nearest pixels.
        let (left, top) = ((x - 0.5).floor(), (y - 0.5).floor());
        for (dx, dy) in [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)] {
            let (px, py) = (left + dx, top + dy);
            let share = (1.0 - (x - 0.5 - px).abs()) * (1.0 - (y - 0.5 - py).abs());
            if px >= 0.0 && py >= 0.0 && px < width as f64 && py < height as f64 {
                let pixel = &mut pixels[py as usize * width + px as usize];
                *pixel = pixel.max(value * share as f32);
            }
        }
    };
    for (_, points) in seen {
        for ends in points.windows(2) {
            let length = (ends[1][0] - ends[0][0]).hypot(ends[1][1] - ends[0][1]) * scale;
            let steps = (2.0 * length).ceil().max(1.0) as usize;
            for step in 0..=steps {
                let along = step as f64 / steps as f64;
                let at =
                    |axis: usize| scale * (ends[0][axis] + along * (ends[1][axis] - ends[0][axis]));
                mark(at(0), at(1), 0.6);
            }
        }
    }
    let slope = rng.random_range(-0.1..0.1);
    for _ in 0..rng.random_range(0..8) {
        let (x, y) = (rng.random_range(0..width), rng.random_range(0..height));
        let dark = rng.random_range(-0.15_f32..0.15);
        for row in y..(y + height / 9).min(height) {
            for column in x..(x + width / 32).min(width) {
                pixels[row * width + column] = dark;
            }
        }
    }
    let byte = |(at, value): (usize, &f32)| {
        let grass = 0.25 + slope * ((at / width) as f32 / height as f32 - 0.5);
        let noise: f32 = rng.sample(StandardNormal);
        ((value + grass + 0.02 * noise).clamp(0.0, 1.0) * 255.0).round() as u8
    };
    let bytes = pixels.iter().enumerate().map(byte).collect();
    let image = GrayImage::from_raw(width as u32, height as u32, bytes).unwrap_or_default();
    let mut file = std::io::Cursor::new(Vec::new());
    // Writing to a vector does not fail.
    let _ = image.write_to(&mut file, ImageFormat::Png);
    file.into_inner()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn small() -> SoccerImagesConfig {
        SoccerImagesConfig { train: 2, valid: 1, test: 4, width: 48, ..Default::default() }
    }

    #[test]
    fn a_folder_is_read_as_what_is_generated_and_real_sizes_are_scaled() {
        let folder = tempfile::tempdir().unwrap();
        write_images(&small(), &folder.path().join("pitch")).unwrap();
        let data = DataDir::new(Some(folder.path().into()));
        let real = SoccerImagesConfig { folder: Some("pitch".into()), ..small() };
        let read = load("t", &real, &data).unwrap();
        let made = load("t", &small(), &DataDir::default()).unwrap();
        assert_eq!(made.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 4]);
        for (a, b) in made.iter().flatten().zip(read.iter().flatten()) {
            assert_eq!((&a.name, &a.truth, &a.pixels), (&b.name, &b.truth, &b.pixels));
            assert!(a.lines.lines.len() >= 5 && a.pixels.len() == 48 * 27);
        }
        let half = SoccerImagesConfig { width: 32, ..real.clone() };
        assert_eq!(load("t", &half, &data).unwrap()[0][0].pixels.len(), 32 * 18);
        std::fs::remove_file(folder.path().join("pitch/test/00001.png")).unwrap();
        let error = load("t", &real, &data).err().unwrap().to_string();
        assert!(error.contains("test/00001.jpg: the image is missing"), "{error}");
    }
}
