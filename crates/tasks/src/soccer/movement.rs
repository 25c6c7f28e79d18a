//! Generated sequences of boxes.
//!
//! Players walk, run and turn: speed and direction drift, and now and then a player takes another
//! trajectory. The ball is faster. Frames are a third of a second apart, so that a runner leaves his box.
//! Without frames, players stay in view; with drawn ones (`frames.rs`) they may leave it at the sides, and come
//! back.

use std::collections::BTreeMap;

use moe::stable_hash;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use soccernet::format::{
    ini::Sequence,
    mot::{self, TrackedBox},
};

use super::{
    frames::{FramesConfig, Painter},
    sequences_config::SequencesConfig,
};

/// Columns and rows of a frame in which generated players move; a drawn one is scaled.
const FULL: [usize; 2] = [1920, 1080];

/// The distance that players move beyond the left and the right edge of a drawn frame, as a share of its
/// width; players there have no box. A choice of this project.
const BEYOND: f64 = 0.1;

/// The files of generated sequences.
pub(super) fn generated(
    config: &SequencesConfig,
    frames: Option<&FramesConfig>,
) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for (split, count) in [("train", config.train), ("valid", config.valid), ("test", config.test)]
    {
        for number in 0..count {
            let name = format!("SNMOT-{number:03}");
            let seed = stable_hash(&format!("generated sequence {split} {number}"));
            let rows = rows(config, frames, &mut ChaCha8Rng::seed_from_u64(seed));
            let found = rows.iter().map(|row| TrackedBox { id: -1, ..*row }).collect::<Vec<_>>();
            let info = Sequence {
                name: name.clone(),
                folder: "img1".into(),
                frame_rate: 3.0,
                length: config.frames,
                size: frames.map_or(FULL, |frames| [frames.width, frames.width * 9 / 16]),
                extension: if frames.is_some() { ".png" } else { ".jpg" }.into(),
            };
            files.insert(format!("{split}/{name}/gt/gt.txt"), mot::write(&rows));
            files.insert(format!("{split}/{name}/det/det.txt"), mot::write(&found));
            files.insert(format!("{split}/{name}/seqinfo.ini"), info.write());
            if frames.is_some() {
                let seed = stable_hash(&format!("generated frames {split} {number}"));
                let rng = &mut ChaCha8Rng::seed_from_u64(seed);
                let painter = Painter::new(config.players, info.size, rng);
                let images = painter.draw_all(&rows, config.frames).into_iter();
                let folder = format!("{split}/{name}/img1");
                files.extend(images.map(|(file, image)| (format!("{folder}/{file}"), image)));
            }
        }
    }
    files
}

/// A player, or the ball.
struct Body {
    x: f64,
    y: f64,
    speed: f64,
    angle: f64,
    turn: f64,
    size: [f64; 2],
}

/// The boxes that are in view, frame by frame.
fn rows(
    config: &SequencesConfig,
    frames: Option<&FramesConfig>,
    rng: &mut ChaCha8Rng,
) -> Vec<TrackedBox> {
    let ball = config.players;
    let right = FULL[0] as f64;
    let scale = frames.map_or(1.0, |frames| frames.width as f64 / right);
    let beyond = if frames.is_some() { BEYOND * right } else { 0.0 };
    let mut bodies: Vec<Body> = (0..=ball)
        .map(|number| Body {
            x: rng.random_range(300.0..1600.0),
            y: rng.random_range(250.0..850.0),
            speed: rng.random_range(0.0..50.0),
            angle: rng.random_range(0.0..std::f64::consts::TAU),
            turn: 0.0,
            size: if number == ball { [14.0, 14.0] } else { [38.0, 90.0] },
        })
        .collect();
    let mut rows = Vec::new();
    for frame in 1..=config.frames {
        for (number, body) in bodies.iter_mut().enumerate() {
            body.step(number == ball, beyond, rng);
            let jitter = |rng: &mut ChaCha8Rng| rng.sample::<f64, _>(StandardNormal);
            let [width, height] = body.size;
            let rect = [
                body.x - width / 2.0 + jitter(rng),
                body.y - height / 2.0 + jitter(rng),
                width + jitter(rng),
                height + jitter(rng),
            ];
            let rect = rect.map(|value| (100.0 * value * scale).round() / 100.0);
            if !(0.0..right).contains(&body.x) {
                continue;
            }
            rows.push(TrackedBox {
                frame,
                id: number as i64 + 1,
                rect,
                confidence: 1.0,
                class: -1,
            });
        }
    }
    rows
}

impl Body {
    /// Moves the body by one frame, up to `beyond` pixels beyond the left and the right edge of the frame.
    fn step(&mut self, is_ball: bool, beyond: f64, rng: &mut ChaCha8Rng) {
        if rng.random_bool(0.05) {
            self.turn = rng.random_range(-0.6..0.6);
        }
        if rng.random_bool(if is_ball { 0.1 } else { 0.04 }) {
            self.speed = rng.random_range(0.0..if is_ball { 90.0 } else { 55.0 });
            self.angle += rng.random_range(-1.0..1.0);
        }
        self.angle += self.turn;
        self.x += self.speed * self.angle.cos();
        self.y += 0.6 * self.speed * self.angle.sin();
        // At these borders a player turns towards the middle of the frame.
        let (left, right) = (60.0 - beyond, 1860.0 + beyond);
        if !(left..right).contains(&self.x) || !(100.0..980.0).contains(&self.y) {
            self.angle = (540.0 - self.y).atan2(960.0 - self.x);
            self.turn = 0.0;
            (self.x, self.y) = (self.x.clamp(left, right), self.y.clamp(100.0, 980.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soccer::sequences::Clip;

    #[test]
    fn players_leave_the_frame_and_come_back_only_where_they_may() {
        let config = SequencesConfig { frames: 80, ..Default::default() };
        let frames = FramesConfig::default();
        let rng = || ChaCha8Rng::seed_from_u64(1);
        let (all, some) =
            (rows(&config, None, &mut rng()), rows(&config, Some(&frames), &mut rng()));
        assert_eq!(all.len(), 80 * 23);
        let rects = some.iter().map(|row| row.rect[0] + row.rect[2] / 2.0);
        assert!(rects.into_iter().all(|x| (-2.0..482.0).contains(&x)));
        let (name, files) = (String::new(), Default::default());
        let clip = Clip { name, files, rows: some, frames: 80, crops: None };
        let returns = clip.trajectories().len() - clip.by_track().len();
        assert!(clip.rows.len() < 80 * 23 && returns > 0, "{returns} of {}", clip.rows.len());
    }
}
