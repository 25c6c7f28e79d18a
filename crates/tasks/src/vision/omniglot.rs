//! Handwritten characters of eight alphabets: classes with a true hierarchy above them.
//!
//! Lake, Salakhutdinov, Tenenbaum. *Human-level concept learning through probabilistic program
//! induction*. Science, 2015. <https://github.com/brendenlake/omniglot> (MIT), the two archives of
//! the "small background sets": 242 characters by 20 people, 105 x 105 pixels, black on white.
//!
//! Ink is 1 and paper 0 here. The set comes without a split; ours is as for the digits: of each
//! character, in an order drawn once, a fifth is for test, a fifth for validation, the rest for
//! training.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use moe::config;

use super::{
    augment::Augment,
    corrupt::Corruption,
    image::resize,
    images::{Images, ImagesConfig, Labelled, check_side, is_zero},
    splits::fifths,
    zip,
};
use crate::{
    DataDir, DataError, LoadTask, Origin, Task,
    data::{decode_image, files::wrong},
};

const ORIGIN: Origin = Origin {
    set: "omniglot",
    folders: &["omniglot-small", ""],
    system: &[],
    get: "get python/images_background_small1.zip and small2.zip from \
          https://github.com/brendenlake/omniglot",
};

config! {
    /// Settings of the characters: classes, subsets, size, augmentation.
    pub struct OmniglotConfig {
        /// The number of rows and columns to which images are resized, from 105.
        pub side: usize = 28,
        /// Images for training, balanced over the classes as far as possible; all if left out.
        pub train: Option<usize> = None,
        /// Images for validation, likewise.
        pub valid: Option<usize> = None,
        /// Images for test, likewise.
        pub test: Option<usize> = None,
        /// Only these classes, renumbered in this order; all if left out.
        pub classes: Option<Vec<usize>> = None,
        /// Random changes in training.
        pub augment: Augment = Augment::default(),
        /// The corruption of the test images, with its severity: `"contrast 3"`.
        pub corrupt: Option<Corruption> = None,
        /// The share of the training images whose label is drawn anew, from all classes.
        #[serde(skip_serializing_if = "is_zero")]
        pub label_noise: f64 = 0.0,
    }
}

/// Handwritten characters.
pub struct Omniglot;

impl LoadTask for Omniglot {
    type Config = OmniglotConfig;
    const NAME: &'static str = "omniglot";
    const ABOUT: &'static str =
        "4,840 characters of eight alphabets, a class hierarchy (--data-dir)";
    const SOURCE: &'static str = "https://github.com/brendenlake/omniglot (MIT)";

    fn load(config: &OmniglotConfig, data: &DataDir) -> Result<Arc<dyn Task>, DataError> {
        let OmniglotConfig { side, train, valid, test, classes, augment, corrupt, label_noise } =
            config.clone();
        check_side(side).map_err(|message| wrong(Self::NAME, message))?;
        let data = characters(data, side)?.labelled(side);
        let side = Some(side);
        let config =
            ImagesConfig { train, valid, test, classes, side, augment, corrupt, label_noise };
        Images::load(data, &config)
    }
}

/// The drawings, in the order of their names.
struct Drawings {
    /// Alphabet, character, drawing.
    names: Vec<[String; 3]>,
    bytes: Vec<u8>,
}

/// Reads both archives. Alphabets that are in both count once.
fn characters(data: &DataDir, side: usize) -> Result<Drawings, DataError> {
    let mut drawings = BTreeMap::new();
    for part in ["small1", "small2"] {
        let (path, archive) = data.find(&ORIGIN, &[&format!("images_background_{part}.zip")])?;
        let files = zip::read(&archive).map_err(|err| ORIGIN.damaged(&path, err))?;
        for (name, png) in files {
            if let Some(key) = drawing(&name)
                && !drawings.contains_key(&key)
            {
                drawings.insert(key, ink(&path, &name, &png, side)?);
            }
        }
        if drawings.is_empty() {
            let message = "no ALPHABET/characterNN/ID_DRAWER.png in it";
            return Err(ORIGIN.damaged(&path, message));
        }
    }
    let (names, bytes): (Vec<_>, Vec<Vec<u8>>) = drawings.into_iter().unzip();
    Ok(Drawings { names, bytes: bytes.concat() })
}

/// Alphabet, character and drawing from `TOP/ALPHABET/characterNN/ID_DRAWER.png`.
fn drawing(name: &str) -> Option<[String; 3]> {
    let parts: Vec<&str> = name.strip_suffix(".png")?.split('/').collect();
    let [.., alphabet, character, drawing] = parts[..] else { return None };
    Some([alphabet, character, drawing].map(String::from))
}

/// A drawing of `side x side` bytes, 255 for ink.
fn ink(path: &Path, name: &str, png: &[u8], side: usize) -> Result<Vec<u8>, DataError> {
    let drawing = decode_image(png, Some(image::ImageFormat::Png));
    let drawing = drawing.map_err(|err| ORIGIN.damaged(path, format!("{name}: {err}")))?;
    let drawing = drawing.into_luma8();
    let (width, height) = drawing.dimensions();
    let bytes: Vec<u8> = drawing.into_raw().iter().map(|paper| 255 - paper).collect();
    Ok(resize(&bytes, [1, height as usize, width as usize], [side, side]))
}

impl Drawings {
    fn labelled(self, side: usize) -> Labelled {
        let characters = numbered(self.names.iter().map(|[a, c, _]| (a.clone(), c.clone())));
        let alphabets = numbered(self.names.iter().map(|[alphabet, ..]| alphabet.clone()));
        let classes = characters.iter().map(|character| character + 1).max().unwrap_or(0);
        let mut above = vec![0; classes];
        characters.iter().zip(alphabets).for_each(|(c, alphabet)| above[*c] = alphabet);
        let labels: Vec<i32> = characters.into_iter().map(|character| character as i32).collect();
        Labelled {
            set: ORIGIN.set,
            shape: [1, side, side],
            bytes: self.bytes,
            white: 255,
            splits: fifths(ORIGIN.set, &labels, classes),
            labels,
            classes,
            super_classes: Some(above),
        }
    }
}

/// Numbers names in their order; equal ones get the same number.
fn numbered<T: Ord + Clone>(names: impl Iterator<Item = T> + Clone) -> Vec<usize> {
    let mut known: Vec<T> = names.clone().collect();
    known.sort();
    known.dedup();
    names.map(|name| known.partition_point(|other| *other < name)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::{DynamicImage, GrayImage, ImageFormat};

    use super::{super::zip::testing::zip, *};
    use crate::{
        Split,
        testing::{digest, published, super_classes},
    };

    fn png(paper: u8) -> Vec<u8> {
        let mut file = std::io::Cursor::new(Vec::new());
        let drawing = DynamicImage::from(GrayImage::from_pixel(4, 4, [paper].into()));
        drawing.write_to(&mut file, ImageFormat::Png).unwrap();
        file.into_inner()
    }

    /// Two archives with an alphabet in common; each character drawn five times.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (part, alphabets) in [("small1", ["Greek", "Latin"]), ("small2", ["Korean", "Latin"])] {
            let mut files = Vec::new();
            for alphabet in alphabets {
                for (character, drawer) in (0..2).flat_map(|c| (0..5).map(move |d| (c, d))) {
                    let name = format!("top/{alphabet}/character0{character}/07_{drawer}.png");
                    files.push((name, png(255 - 10 * character as u8)));
                }
            }
            let name = format!("images_background_{part}.zip");
            fs::write(folder.path().join(name), zip(&files)).unwrap();
        }
        folder
    }

    fn load(folder: &Path, config: &OmniglotConfig) -> Result<Arc<dyn Task>, String> {
        Omniglot::load(config, &DataDir::new(Some(folder.into()))).map_err(|err| err.to_string())
    }

    #[test]
    fn characters_stand_under_their_alphabets() {
        let folder = folder();
        let task = load(folder.path(), &OmniglotConfig::default()).unwrap();
        assert_eq!(task.outputs(), 6);
        assert_eq!(super_classes(&*task), Some(&[0, 0, 1, 1, 2, 2][..]));
        let sizes = [Split::Train, Split::Valid, Split::Test].map(|split| task.len(split));
        assert_eq!(sizes, [18, 6, 6]);
    }

    #[test]
    fn both_archives_are_in_the_digest() {
        let folder = folder();
        let digest = digest(folder.path(), &moe::Choice::of("omniglot"));
        let names: Vec<&str> = digest.iter().map(|(name, _)| name).collect();
        let archives = [1, 2].map(|part| format!("omniglot/images_background_small{part}.zip"));
        assert_eq!(names, archives);
        let first = fs::read(folder.path().join("images_background_small1.zip")).unwrap();
        fs::write(folder.path().join("images_background_small2.zip"), first).unwrap();
        let other = self::digest(folder.path(), &moe::Choice::of("omniglot"));
        assert_eq!(other.differences(&digest), [&archives[1]]);
    }

    #[test]
    fn what_is_wrong_is_said_with_the_path() {
        let folder = folder();
        let path = folder.path().join("images_background_small2.zip");
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let err = load(folder.path(), &OmniglotConfig::default()).err().unwrap();
        assert!(err.contains("small2.zip: damaged or incomplete zip archive"), "{err}");
        assert!(err.contains("github.com/brendenlake/omniglot"), "{err}");
        fs::remove_file(&path).unwrap();
        let err = load(folder.path(), &OmniglotConfig::default()).err().unwrap();
        assert!(err.contains("omniglot needs images_background_small2.zip"), "{err}");
    }

    #[test]
    #[ignore = "needs the omniglot archives in MOELAB_DATA"]
    fn the_published_set_is_read() {
        let task = Omniglot::load(&OmniglotConfig::default(), &published()).unwrap();
        assert_eq!(task.outputs(), 242);
        let all = [Split::Train, Split::Valid, Split::Test].map(|split| task.len(split));
        assert_eq!(all, [242 * 12, 242 * 4, 242 * 4]);
        let alphabets = super_classes(&*task).unwrap().iter().max();
        assert_eq!(alphabets, Some(&7));
    }
}
