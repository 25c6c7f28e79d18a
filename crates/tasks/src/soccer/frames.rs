//! Frames of sequences, `img1/000001.jpg`: drawn frames, and crops of boxes from real or drawn frames.
//!
//! A drawn frame is grass with the figures of `figure.rs` in their boxes, each in another light and stride; the
//! figure with the lowest box is nearest and covers the others. The ball is white. Drawn frames
//! are PNG files, `img1/000001.png`, which decode to the same values on all processors.

use std::collections::BTreeMap;

use image::{RgbImage, imageops::crop_imm};
use moe::config;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use soccernet::format::{ini::Sequence, mot::TrackedBox};

use super::{
    association::Rect,
    figure::{Figure, Team, light, part, pixel, stride},
    players::{planes, png},
};
use crate::{
    DataError,
    data::{
        decode_image,
        files::{Files, content},
    },
};

config! {
    /// Frames of sequences, and the crops of their boxes.
    pub struct FramesConfig {
        /// The width of a drawn frame in pixels, a multiple of 16; its height is nine sixteenths of it.
        pub width: usize = 480,
        /// The height in pixels of a crop in the form that a network gets, a multiple of 8; its width is half
        /// of it.
        pub crop: usize = 24,
    }
}

impl FramesConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        let Self { width, crop } = self;
        match () {
            () if !width.is_multiple_of(16) || !(160..=1920).contains(width) => {
                Err(format!("frames.width = {width}: must be a multiple of 16, from 160 to 1920"))
            }
            () if !crop.is_multiple_of(8) || !(16..=512).contains(crop) => {
                Err(format!("frames.crop = {crop}: must be a multiple of 8, from 16 to 512"))
            }
            () => Ok(()),
        }
    }

    /// Rows and columns of a crop.
    pub(super) fn shape(&self) -> [usize; 2] {
        [self.crop, self.crop / 2]
    }
}

/// Draws the frames of a sequence.
pub(super) struct Painter<'a> {
    figures: Vec<Figure>,
    grass: [f32; 3],
    /// Columns and rows.
    size: [usize; 2],
    rng: &'a mut ChaCha8Rng,
}

impl<'a> Painter<'a> {
    /// A painter of `players` players of two teams; a body with a greater identity is the ball.
    pub(super) fn new(players: usize, size: [usize; 2], rng: &'a mut ChaCha8Rng) -> Self {
        let teams = [(); 2].map(|()| Team::random(rng));
        let figures = (0..players).map(|player| Figure::random(teams[player % 2], rng)).collect();
        let grass = [0.2, rng.random_range(0.35..0.5), 0.15];
        Self { figures, grass, size, rng }
    }

    /// Names and contents of the files of `frames` frames.
    pub(super) fn draw_all(mut self, rows: &[TrackedBox], frames: usize) -> Vec<(String, Vec<u8>)> {
        let draw = |frame: usize| {
            let of_frame: Vec<TrackedBox> =
                rows.iter().filter(|row| row.frame == frame).copied().collect();
            (format!("{frame:06}.png"), self.draw(&of_frame))
        };
        (1..=frames).map(draw).collect()
    }

    /// The file of a frame with these boxes.
    fn draw(&mut self, boxes: &[TrackedBox]) -> Vec<u8> {
        let grass = self.grass.map(|value| (value * 255.0).round() as u8);
        let [width, height] = self.size.map(|size| size as u32);
        let mut image = RgbImage::from_pixel(width, height, grass.into());
        let mut boxes: Vec<&TrackedBox> = boxes.iter().collect();
        boxes.sort_by(|a, b| (a.rect[1] + a.rect[3]).total_cmp(&(b.rect[1] + b.rect[3])));
        boxes.into_iter().for_each(|row| self.paint(&mut image, row));
        png(&image)
    }

    fn paint(&mut self, image: &mut RgbImage, row: &TrackedBox) {
        let (light, stride) = (light(self.rng), stride(self.rng));
        let figure = self.figures.get(row.id as usize - 1);
        let Some([left, top, width, height]) = pixels(row.rect, self.size) else { return };
        let place = |at: u32, axis: usize| {
            ((f64::from(at) + 0.5 - row.rect[axis]) / row.rect[axis + 2]) as f32
        };
        for (column, line) in
            (left..left + width).flat_map(|x| (top..top + height).map(move |y| (x, y)))
        {
            let (x, y) = (2.0 * place(column, 0) - 1.0, place(line, 1));
            let colour = match figure {
                Some(figure) => part(figure, x, y, stride),
                None => (x.hypot(2.0 * y - 1.0) <= 1.0).then_some([0.9; 3]),
            };
            if let Some(colour) = colour {
                image.get_pixel_mut(column, line).0 = pixel(colour, light, self.rng);
            }
        }
    }
}

/// Left, top, width and height in whole pixels of the part of a box that is inside a frame of `size` columns
/// and rows; none if no pixel is.
fn pixels(rect: Rect, size: [usize; 2]) -> Option<[u32; 4]> {
    let edge = |value: f64, axis: usize| value.round().clamp(0.0, size[axis] as f64) as u32;
    let [left, top] = [0, 1].map(|axis| edge(rect[axis], axis));
    let [right, bottom] = [0, 1].map(|axis| edge(rect[axis] + rect[axis + 2], axis));
    (left < right && top < bottom).then(|| [left, top, right - left, bottom - top])
}

/// The crops of the boxes of a sequence, scaled to these rows and columns: bytes from 0 to 255, channel by
/// channel, black outside of the frame. None if the sequence has no frames.
///
/// # Errors
/// If a frame is missing, damaged, or not of the size given by `seqinfo.ini`.
pub(super) fn cut(
    files: &Files<'_>,
    folder: &str,
    info: &Sequence,
    rows: &[TrackedBox],
    shape: [usize; 2],
) -> Result<Option<Vec<Vec<u8>>>, DataError> {
    for (name, value) in [("imDir", &info.folder), ("imExt", &info.extension)] {
        if value.contains(['/', '\\']) || value == ".." {
            let message = format!("[Sequence] {name}: {value:?}; expected a name without /");
            return Err(content(&format!("{folder}/seqinfo.ini"), message));
        }
    }
    let images = format!("{folder}/{}", info.folder);
    if files.entries(&images)?.is_empty() {
        return Ok(None);
    }
    let mut by_frame = BTreeMap::<usize, Vec<usize>>::new();
    for (at, row) in rows.iter().enumerate() {
        by_frame.entry(row.frame).or_default().push(at);
    }
    let mut crops = vec![Vec::new(); rows.len()];
    for (frame, of_frame) in by_frame {
        let image = read(files, &format!("{images}/{frame:06}{}", info.extension), info.size)?;
        for at in of_frame {
            crops[at] = crop(&image, rows[at].rect, info.size, shape);
        }
    }
    Ok(Some(crops))
}

fn read(files: &Files<'_>, file: &str, size: [usize; 2]) -> Result<RgbImage, DataError> {
    if !files.has(file) {
        return Err(content(file, "the frame is missing"));
    }
    let image = decode_image(&files.read(file)?, None).map_err(|err| content(file, err))?;
    let found = [image.width() as usize, image.height() as usize];
    if found != size {
        let ([w, h], [width, height]) = (found, size);
        let message = format!("{w} x {h} pixels; expected {width} x {height}, as in seqinfo.ini");
        return Err(content(file, message));
    }
    Ok(image.into_rgb8())
}

fn crop(image: &RgbImage, rect: Rect, size: [usize; 2], shape: [usize; 2]) -> Vec<u8> {
    match pixels(rect, size) {
        Some([left, top, width, height]) => {
            planes(crop_imm(image, left, top, width, height).to_image(), shape)
        }
        None => vec![0; 3 * shape[0] * shape[1]],
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn row(id: i64, rect: Rect) -> TrackedBox {
        TrackedBox { frame: 1, id, rect, confidence: 1.0, class: -1 }
    }

    #[test]
    fn the_nearest_covers_the_others_and_the_ball_is_round() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut painter = Painter::new(2, [160, 96], &mut rng);
        let grass = painter.grass.map(|value| (value * 255.0).round() as u8);
        let far = row(1, [20.0, 10.0, 20.0, 40.0]);
        let near = row(2, [20.0, 16.0, 20.0, 40.0]);
        let ball = row(3, [100.0, 50.0, 10.0, 10.0]);
        let frame = |painter: &mut Painter<'_>, boxes: &[TrackedBox]| {
            decode_image(&painter.draw(boxes), None).unwrap().into_rgb8()
        };
        let both = frame(&mut painter, &[near, far, ball]);
        let shirt = |painter: &Painter<'_>, of: usize| {
            part(&painter.figures[of], 0.35, 0.3, 0.0).unwrap().map(|value| value * 255.0)
        };
        // At 16 + 0.3 * 40 the near one has a shirt, in a light from 0.7 to 1.15 and with noise.
        let seen = both.get_pixel(33, 28).0;
        let colour = shirt(&painter, 1);
        let light = f32::from(seen[0]) / colour[0];
        assert!((0.4..1.5).contains(&light), "{seen:?} {colour:?}");
        assert_eq!(both.get_pixel(100, 50).0, grass, "beside the ball");
        assert!(both.get_pixel(105, 55).0[0] > 100, "on the ball");
        assert_eq!(both.get_pixel(5, 5).0, grass);
    }

    #[test]
    fn boxes_are_cut_at_the_edges_of_the_frame() {
        let image = RgbImage::from_fn(16, 16, |x, y| [x as u8, y as u8, 7].into());
        assert_eq!(pixels([-4.0, 2.0, 8.0, 4.0], [16, 16]), Some([0, 2, 4, 4]));
        assert_eq!(pixels([16.0, 2.0, 8.0, 4.0], [16, 16]), None);
        let inside = crop(&image, [2.0, 4.0, 2.0, 2.0], [16, 16], [2, 2]);
        assert_eq!(inside, [2, 3, 2, 3, 4, 4, 5, 5, 7, 7, 7, 7]);
        assert_eq!(crop(&image, [20.0, 4.0, 2.0, 2.0], [16, 16], [2, 2]), [0; 12]);
    }

    #[test]
    fn sizes_are_checked() {
        let of = |config: FramesConfig| config.check().unwrap_err();
        let config = FramesConfig::default();
        assert!(config.check().is_ok());
        assert!(of(FramesConfig { width: 100, ..config }).contains("frames.width = 100"));
        assert!(of(FramesConfig { crop: 20, ..config }).contains("frames.crop = 20"));
    }
}
