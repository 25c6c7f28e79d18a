//! Thumbnails of players: `SPLIT/query/*.png` and `SPLIT/gallery/*.png` with the names of the challenge, real
//! or generated.
//!
//! Generated players are those of `figure.rs`. Each thumbnail is another view: shifted, scaled, darker or
//! brighter, noisy.

use std::{collections::BTreeMap, path::Path};

use image::{ImageFormat, RgbImage, imageops::FilterType};
use moe::{config, stable_hash};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use soccernet::format::bodies::{Bodies, Body, Thumbnail};

use super::figure::{Figure, Team, light, part, pixel, stride};
use crate::{
    DataDir, DataError,
    data::{
        decode_image,
        files::{Files, content, fault, wrong},
        fits,
    },
};

config! {
    /// Thumbnails of players: real or generated.
    pub struct PlayersConfig {
        /// The folder with `train`, `valid` and `test` in the data folder. Players are generated if none is
        /// given.
        pub folder: Option<String> = None,
        /// Generated actions for training.
        pub train: usize = 60,
        /// Generated actions of the validation split.
        pub valid: usize = 10,
        /// Generated actions of the test split.
        pub test: usize = 20,
        /// Generated players of an action.
        pub players: usize = 12,
        /// Generated views of a player: one query, the rest in the gallery.
        pub views: usize = 4,
        /// The height in pixels of a thumbnail in the form that a network gets, even; its width is half of
        /// it.
        pub height: usize = 32,
    }
}

impl PlayersConfig {
    fn check(&self) -> Result<(), String> {
        let sizes = [
            ("train", self.train, 1),
            ("valid", self.valid, 1),
            ("test", self.test, 1),
            ("players", self.players, 2),
            ("views", self.views, 2),
        ];
        if let Some((key, value, least)) = sizes.iter().find(|(_, value, least)| value < least) {
            return Err(format!("players.{key} = {value}: must be at least {least}"));
        }
        if !self.height.is_multiple_of(8) || !(16..=512).contains(&self.height) {
            let height = self.height;
            return Err(format!(
                "players.height = {height}: must be a multiple of 8, from 16 to 512"
            ));
        }
        if self.folder.is_some() {
            return Ok(());
        }
        let counts = [
            ("players.train", self.train),
            ("players.valid", self.valid),
            ("players.test", self.test),
        ];
        let [height, width] = self.shape();
        let each = [
            ("players.players", self.players),
            ("players.views", self.views),
            ("numbers of a view", 3 * height * width),
        ];
        fits(&counts, &each)
    }

    /// Rows and columns.
    pub(super) fn shape(&self) -> [usize; 2] {
        [self.height, self.height / 2]
    }
}

/// A thumbnail.
pub(super) struct Player {
    /// Red, green and blue from 0 to 1, channel by channel.
    pub(super) pixels: Vec<f32>,
    pub(super) action: String,
    pub(super) person: String,
    pub(super) is_query: bool,
}

/// Writes generated players as a folder or, if the name ends in `.zip`, as an archive.
///
/// # Errors
/// If the config does not fit, or the system refuses.
pub fn write_players(config: &PlayersConfig, path: &Path) -> Result<(), DataError> {
    let config = &PlayersConfig { folder: None, ..config.clone() };
    config.check().map_err(|message| wrong("players", message))?;
    let files: Vec<(String, Vec<u8>)> = generated(config).into_iter().collect();
    soccernet::write_files(path, &files).map_err(fault)
}

/// The thumbnails of the three splits, queries first.
pub(super) fn load(
    task: &str,
    config: &PlayersConfig,
    data: &DataDir,
) -> Result<[Vec<Player>; 3], DataError> {
    config.check().map_err(|message| wrong(task, message))?;
    let files = Files::new(data, config.folder.as_deref(), || generated(config));
    let read = |split: &str| -> Result<Vec<Player>, DataError> {
        let mut players = Vec::new();
        for side in ["query", "gallery"] {
            let folder = format!("{split}/{side}");
            for name in files.some(&folder, "thumbnails", files.entries(&folder)?)? {
                let file = format!("{split}/{side}/{name}");
                players.push(player(&files, &file, &name, side == "query", config.shape())?);
            }
        }
        Ok(players)
    };
    Ok([read("train")?, read("valid")?, read("test")?])
}

fn player(
    files: &Files<'_>,
    file: &str,
    name: &str,
    is_query: bool,
    shape: [usize; 2],
) -> Result<Player, DataError> {
    let about = Thumbnail::parse(name).map_err(fault)?;
    let known = about.known.ok_or_else(|| content(file, "its name does not contain the person"))?;
    let image = decode_image(&files.read(file)?, None).map_err(|err| content(file, err))?;
    let pixels = unit(&planes(image.into_rgb8(), shape));
    let [person, ..] = known;
    Ok(Player { pixels, action: about.action.to_string(), person, is_query })
}

/// The bytes of an image, scaled to these rows and columns, channel by channel.
pub(super) fn planes(image: RgbImage, [height, width]: [usize; 2]) -> Vec<u8> {
    let image = match image.dimensions() == (width as u32, height as u32) {
        true => image,
        false => image::imageops::resize(&image, width as u32, height as u32, FilterType::Triangle),
    };
    let raw = image.into_raw();
    (0..3).flat_map(|channel| raw.iter().skip(channel).step_by(3).copied()).collect()
}

/// Bytes as numbers from 0 to 1.
pub(super) fn unit(bytes: &[u8]) -> Vec<f32> {
    bytes.iter().map(|byte| f32::from(*byte) / 255.0).collect()
}

/// The official file of identities; queries and gallery are numbered separately.
pub(super) fn bodies(players: &[Player]) -> Bodies {
    let side = |is_query: bool| {
        let here = players.iter().filter(|player| player.is_query == is_query).enumerate();
        let body = |(at, player): (usize, &Player)| {
            let (action, person) = (player.action.clone(), player.person.clone());
            (at.to_string(), Body { index: at as i64, action, person })
        };
        here.map(body).collect()
    };
    Bodies { query: side(true), gallery: side(false) }
}

/// The files of generated players.
fn generated(config: &PlayersConfig) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for (split, count) in [("train", config.train), ("valid", config.valid), ("test", config.test)]
    {
        let seed = stable_hash(&format!("generated players {split}"));
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut queries, mut gallery) = (0, 0);
        for action in 0..count {
            let teams = [(); 2].map(|()| Team::random(&mut rng));
            for person in 0..config.players {
                let figure = Figure::random(teams[person % 2], &mut rng);
                for view in 0..config.views {
                    let (side, index) = match view {
                        0 => ("query", &mut queries),
                        _ => ("gallery", &mut gallery),
                    };
                    let uid = action * config.players + person;
                    let [height, width] = config.shape();
                    let name = format!(
                        "{index}-{action}-{uid}-{view}-Player_team_left-{person}-generated-{height}x{width}.png"
                    );
                    *index += 1;
                    let image = draw(&figure, config.shape(), &mut rng);
                    files.insert(format!("{split}/{side}/{name}"), image);
                }
            }
        }
    }
    files
}

/// One view as PNG.
fn draw(figure: &Figure, [height, width]: [usize; 2], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let (dx, dy) = (rng.random_range(-0.25..0.25), rng.random_range(-0.08..0.08));
    let (zoom, light) = (rng.random_range(0.85..1.15_f32), light(rng));
    let stride = stride(rng);
    let grass = [0.2, rng.random_range(0.35..0.5), 0.15];
    let mut image = RgbImage::new(width as u32, height as u32);
    for (column, row, pixel) in image.enumerate_pixels_mut() {
        let x = ((column as f32 + 0.5) / width as f32 * 2.0 - 1.0 - dx) / zoom;
        let y = ((row as f32 + 0.5) / height as f32 - 0.5 - dy) / zoom + 0.5;
        pixel.0 = self::pixel(part(figure, x, y, stride).unwrap_or(grass), light, rng);
    }
    png(&image)
}

/// The file of an image.
pub(super) fn png(image: &RgbImage) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    // Writing to a vector does not fail.
    let _ = image.write_to(&mut file, ImageFormat::Png);
    file.into_inner()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn small() -> PlayersConfig {
        PlayersConfig {
            train: 2,
            valid: 1,
            test: 3,
            players: 4,
            views: 3,
            height: 16,
            ..Default::default()
        }
    }

    #[test]
    fn a_folder_is_read_as_what_is_generated() {
        let folder = tempfile::tempdir().unwrap();
        write_players(&small(), &folder.path().join("reid")).unwrap();
        let data = DataDir::new(Some(folder.path().into()));
        let real = PlayersConfig { folder: Some("reid".into()), ..small() };
        let read = load("t", &real, &data).unwrap();
        let made = load("t", &small(), &DataDir::default()).unwrap();
        assert_eq!(made.iter().map(Vec::len).collect::<Vec<_>>(), [24, 12, 36]);
        for (a, b) in made.iter().flatten().zip(read.iter().flatten()) {
            assert_eq!((&a.pixels, &a.person, a.is_query), (&b.pixels, &b.person, b.is_query));
        }
        let bodies = bodies(&made[2]);
        assert_eq!((bodies.query.len(), bodies.gallery.len()), (12, 24));
        assert!(bodies.gallery_by_action().values().all(|all| all.len() == 8));
        let name = folder.path().join("reid/test/query/1_2_3.png");
        std::fs::write(name, b"").unwrap();
        let error = load("t", &real, &data).err().unwrap().to_string();
        assert!(error.contains("INDEX-ACTION-PERSON-FRAME"), "{error}");
    }
}
