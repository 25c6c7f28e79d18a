//! Sequences of boxes: `SEQUENCE/gt/gt.txt`, `det/det.txt`, `seqinfo.ini`, real or generated.
//!
//! Generated players walk, run and turn: speed and direction drift, and now and then a player takes another
//! trajectory. The ball is faster. Frames are a third of a second apart, so that a runner leaves his box.

use std::{collections::BTreeMap, path::Path};

use moe::{config, stable_hash};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use soccernet::{
    Judge,
    format::{
        ini::Sequence,
        mot::{self, Kind, TrackedBox},
    },
};

use super::tracker::Rect;
use crate::{
    DataDir, DataError,
    data::files::{Files, fault, wrong},
};

config! {
    /// Which sequences.
    pub struct SequencesConfig {
        /// The folder with `train` and `test` in the data folder, and perhaps `valid`; the last fifth of the
        /// training sequences are the validation split otherwise. Sequences are generated if none is given.
        pub folder: Option<String> = None,
        /// Generated sequences to train on.
        pub train: usize = 8,
        /// Generated sequences of the validation split.
        pub valid: usize = 2,
        /// Generated sequences of the test split.
        pub test: usize = 4,
        /// Frames of a generated sequence.
        #[serde(alias = "pictures")]
        pub frames: usize = 80,
        /// Players of a generated sequence, the ball apart.
        pub players: usize = 22,
    }
}

impl SequencesConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        let sizes = [
            ("train", self.train, 1),
            ("valid", self.valid, 1),
            ("test", self.test, 1),
            ("frames", self.frames, 4),
            ("players", self.players, 1),
        ];
        match sizes.iter().find(|(_, value, least)| value < least) {
            Some((key, value, least)) => {
                Err(format!("sequences.{key} = {value}: must be at least {least}"))
            }
            None => Ok(()),
        }
    }
}

/// A sequence: the files of the truth, and its boxes.
pub(super) struct Clip {
    pub(super) name: String,
    /// `gt.txt` and `seqinfo.ini`.
    pub(super) files: [Vec<u8>; 2],
    pub(super) rows: Vec<TrackedBox>,
    pub(super) frames: usize,
}

impl Clip {
    /// The boxes of each track, frame by frame, without gaps.
    pub(super) fn trajectories(&self) -> Vec<Vec<Rect>> {
        let mut tracks: BTreeMap<i64, Vec<(usize, Rect)>> = BTreeMap::new();
        for row in &self.rows {
            tracks.entry(row.id).or_default().push((row.frame, row.rect));
        }
        let mut trajectories = Vec::new();
        for mut track in tracks.into_values() {
            track.sort_by_key(|(frame, _)| *frame);
            let pieces = track.chunk_by(|a, b| a.0 + 1 == b.0);
            trajectories.extend(pieces.map(|piece| piece.iter().map(|(_, rect)| *rect).collect()));
        }
        trajectories
    }

    /// The boxes of each frame, as `det.txt` has them in the challenge: those of the truth.
    pub(super) fn boxes(&self) -> Vec<Vec<Rect>> {
        let mut boxes = vec![Vec::new(); self.frames];
        self.rows.iter().for_each(|row| boxes[row.frame - 1].push(row.rect));
        boxes
    }
}

/// Writes generated sequences as a folder or, if the name ends in `.zip`, as an archive.
///
/// # Errors
/// If the config does not fit, or the system refuses.
pub fn write_sequences(config: &SequencesConfig, path: &Path) -> Result<(), DataError> {
    config.check().map_err(|message| wrong("sequences", message))?;
    let files: Vec<(String, Vec<u8>)> = generated(config).into_iter().collect();
    soccernet::write_files(path, &files).map_err(fault)
}

/// The sequences of the three splits.
pub(super) fn load(
    task: &str,
    config: &SequencesConfig,
    data: &DataDir,
) -> Result<[Vec<Clip>; 3], DataError> {
    config.check().map_err(|message| wrong(task, message))?;
    let files = Files::new(data, config.folder.as_deref(), || generated(config));
    let read = |split: &str| -> Result<Vec<Clip>, DataError> {
        files.entries(split)?.iter().map(|name| clip(&files, split, name)).collect()
    };
    let (mut train, mut valid, test) = (read("train")?, read("valid")?, read("test")?);
    if valid.is_empty() {
        valid = train.split_off(train.len() - (train.len() / 5).max(1).min(train.len()));
    }
    Ok([train, valid, test])
}

fn clip(files: &Files<'_>, split: &str, name: &str) -> Result<Clip, DataError> {
    let path = |file: &str| format!("{split}/{name}/{file}");
    let bytes = [files.read(&path("gt/gt.txt"))?, files.read(&path("seqinfo.ini"))?];
    let info = Sequence::read(&bytes[1], &path("seqinfo.ini")).map_err(fault)?;
    let judge = &mut Judge::default();
    let rows = mot::read(&bytes[0], &path("gt/gt.txt"), info.length, Kind::Truth, judge);
    let rows = rows.map_err(fault)?.into_iter().filter(|row| row.confidence != 0.0).collect();
    Ok(Clip { name: name.to_string(), files: bytes, rows, frames: info.length })
}

/// The files of generated sequences.
fn generated(config: &SequencesConfig) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for (split, count) in [("train", config.train), ("valid", config.valid), ("test", config.test)]
    {
        for number in 0..count {
            let name = format!("SNMOT-{number:03}");
            let seed = stable_hash(&format!("generated sequence {split} {number}"));
            let rows = rows(config, &mut ChaCha8Rng::seed_from_u64(seed));
            let found = rows.iter().map(|row| TrackedBox { id: -1, ..*row }).collect::<Vec<_>>();
            let info = Sequence {
                name: name.clone(),
                folder: "img1".into(),
                frame_rate: 3.0,
                length: config.frames,
                size: [1920, 1080],
                extension: ".jpg".into(),
            };
            files.insert(format!("{split}/{name}/gt/gt.txt"), mot::write(&rows));
            files.insert(format!("{split}/{name}/det/det.txt"), mot::write(&found));
            files.insert(format!("{split}/{name}/seqinfo.ini"), info.write());
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

fn rows(config: &SequencesConfig, rng: &mut ChaCha8Rng) -> Vec<TrackedBox> {
    let ball = config.players;
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
            body.step(number == ball, rng);
            let jitter = |rng: &mut ChaCha8Rng| rng.sample::<f64, _>(StandardNormal);
            let [width, height] = body.size;
            let rect = [
                body.x - width / 2.0 + jitter(rng),
                body.y - height / 2.0 + jitter(rng),
                width + jitter(rng),
                height + jitter(rng),
            ];
            let rect = rect.map(|value| (100.0 * value).round() / 100.0);
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
    fn step(&mut self, is_ball: bool, rng: &mut ChaCha8Rng) {
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
        // At the edge of the frame a player turns to its middle.
        if !(60.0..1860.0).contains(&self.x) || !(100.0..980.0).contains(&self.y) {
            self.angle = (540.0 - self.y).atan2(960.0 - self.x);
            self.turn = 0.0;
            (self.x, self.y) = (self.x.clamp(60.0, 1860.0), self.y.clamp(100.0, 980.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use soccernet::{Source, check};

    #[test]
    fn generated_files_are_what_their_names_say_and_a_folder_of_them_is_the_same() {
        let config = SequencesConfig {
            train: 2,
            valid: 1,
            test: 1,
            frames: 6,
            players: 3,
            ..Default::default()
        };
        let checked = check(&Source::memory("made", generated(&config)));
        assert_eq!((checked.right.len(), checked.wrong, checked.unknown), (12, vec![], vec![]));
        let folder = tempfile::tempdir().unwrap();
        write_sequences(&config, &folder.path().join("tracking")).unwrap();
        let made = load("t", &config, &DataDir::default()).unwrap();
        let real = SequencesConfig { folder: Some("tracking".into()), ..config };
        let read = load("t", &real, &DataDir::new(Some(folder.path().into()))).unwrap();
        assert_eq!(made.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 1]);
        for (a, b) in made.iter().flatten().zip(read.iter().flatten()) {
            assert_eq!((&a.name, &a.rows), (&b.name, &b.rows));
        }
        assert_eq!(made[2][0].trajectories().len(), 4);
        assert_eq!(made[2][0].boxes()[5].len(), 4);
        std::fs::remove_dir_all(folder.path().join("tracking/valid")).unwrap();
        let read = load("t", &real, &DataDir::new(Some(folder.path().into()))).unwrap();
        assert_eq!(read.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
    }

    #[test]
    fn gaps_end_a_course() {
        let row = |frame| TrackedBox {
            frame,
            id: 1,
            rect: [frame as f64; 4],
            confidence: 1.0,
            class: -1,
        };
        let rows = vec![row(1), row(2), row(4)];
        let clip = Clip { name: String::new(), files: Default::default(), rows, frames: 4 };
        assert_eq!(clip.trajectories(), [vec![[1.0; 4], [2.0; 4]], vec![[4.0; 4]]]);
    }
}
