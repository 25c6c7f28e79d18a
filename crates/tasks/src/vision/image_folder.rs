//! Images of your own: a folder with one folder for each class, PNG or JPEG.
//!
//! The split is as for the digits: of each class, in an order drawn once, a fifth is for test, a
//! fifth for validation, the rest for training. Classes are numbered in the order of their names.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use moe::config;

use super::{
    augment::Augment,
    corrupt::Corruption,
    image::resize,
    images::{Images, ImagesConfig, Labelled, check_side},
    splits::fifths,
};
use crate::{
    DataDir, DataError, LoadTask, Task,
    data::{decode_image, files::wrong},
};

config! {
    /// Settings of the folder and its images.
    pub struct ImageFolderConfig {
        /// The folder of class folders, relative to the data folder.
        pub folder: String = "images".into(),
        /// The number of rows and columns to which images are resized.
        pub side: usize = 32,
        /// Images for training, balanced over the classes as far as possible; all if left out.
        pub train: Option<usize> = None,
        /// Images for validation, likewise.
        pub valid: Option<usize> = None,
        /// Images for test, likewise.
        pub test: Option<usize> = None,
        /// Random changes in training.
        pub augment: Augment = Augment::default(),
        /// The corruption of the test images, with its severity: `"jpeg 3"`.
        pub corrupt: Option<Corruption> = None,
    }
}

/// Images of your own.
pub struct ImageFolder;

impl LoadTask for ImageFolder {
    type Config = ImageFolderConfig;
    const NAME: &'static str = "image-folder";
    const ABOUT: &'static str = "your own images, one folder per class (--data-dir)";
    const SOURCE: &'static str = "a folder of PNG or JPEG files";

    fn load(config: &ImageFolderConfig, data: &DataDir) -> Result<Arc<dyn Task>, DataError> {
        let ImageFolderConfig { side, train, valid, test, augment, corrupt, .. } = config.clone();
        check_side(side).map_err(|message| wrong(Self::NAME, message))?;
        let data = read(config, data)?;
        let side = Some(side);
        let config =
            ImagesConfig { train, valid, test, side, augment, corrupt, ..ImagesConfig::default() };
        Images::load(data, &config)
    }
}

fn read(config: &ImageFolderConfig, data: &DataDir) -> Result<Labelled, DataError> {
    let root = data.path(&config.folder)?;
    let content = |path: &Path, message: &str| DataError::Content {
        path: path.into(),
        message: format!(
            "{message}; expected CLASS/*.png or CLASS/*.jpg in the folder of task.folder"
        ),
    };
    let classes: Vec<PathBuf> =
        data.list(&root)?.into_iter().filter(|path| path.is_dir()).collect();
    if classes.len() < 2 {
        return Err(content(
            &root,
            &format!("{} class folders; at least 2 are needed", classes.len()),
        ));
    }
    let (mut bytes, mut labels) = (Vec::new(), Vec::new());
    for (class, folder) in classes.iter().enumerate() {
        let files = data.list(folder)?.into_iter().filter(|path| is_image(path));
        let files: Vec<PathBuf> = files.collect();
        if files.len() < 5 {
            return Err(content(
                folder,
                &format!(
                    "{} images; expected at least 5, since a fifth each is used for validation and test",
                    files.len()
                ),
            ));
        }
        for file in files {
            bytes.extend(image(data, &file, config)?);
            labels.push(class as i32);
        }
    }
    Ok(Labelled {
        set: "image-folder",
        shape: [3, config.side, config.side],
        bytes,
        white: 255,
        splits: fifths("image-folder", &labels, classes.len()),
        labels,
        classes: classes.len(),
        super_classes: None,
    })
}

fn is_image(path: &Path) -> bool {
    let end = path.extension().unwrap_or_default().to_ascii_lowercase();
    ["png", "jpg", "jpeg"].iter().any(|known| end == *known)
}

/// `[3, side, side]`.
fn image(data: &DataDir, path: &Path, config: &ImageFolderConfig) -> Result<Vec<u8>, DataError> {
    let read = decode_image(&data.read_path(path)?, None).map_err(|err| DataError::Content {
        path: path.into(),
        message: format!("not a valid image ({err})"),
    })?;
    let size = [read.height() as usize, read.width() as usize];
    let pixels = read.into_rgb8().into_raw();
    let plane = |channel: usize| pixels.iter().skip(channel).step_by(3).copied();
    let planes: Vec<u8> = (0..3).flat_map(plane).collect();
    Ok(resize(&planes, [3, size[0], size[1]], [config.side; 2]))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::RgbImage;

    use super::*;
    use crate::{Split, testing::check_digest};

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (class, colour) in [("cats", [250, 0, 0]), ("dogs", [0, 0, 250])] {
            let class = folder.path().join("images").join(class);
            fs::create_dir_all(&class).unwrap();
            for i in 0..5 {
                let end = if i % 2 == 0 { "png" } else { "JPG" };
                let image = RgbImage::from_pixel(5, 3 + i, colour.into());
                image.save(class.join(format!("{i}.{end}"))).unwrap();
            }
            fs::write(class.join("notes.txt"), "not an image").unwrap();
        }
        folder
    }

    fn load(folder: &Path, config: &ImageFolderConfig) -> Result<Arc<dyn Task>, String> {
        ImageFolder::load(config, &DataDir::new(Some(folder.into()))).map_err(|err| err.to_string())
    }

    #[test]
    fn folders_are_classes() {
        let folder = folder();
        let config = ImageFolderConfig { side: 4, ..ImageFolderConfig::default() };
        let task = load(folder.path(), &config).unwrap();
        let sizes = [Split::Train, Split::Valid, Split::Test].map(|split| task.len(split));
        assert_eq!((task.outputs(), sizes), (2, [6, 2, 2]));
        let batch = task.batch(Split::Test, &[0, 1], &burn::prelude::Device::flex());
        let moe::Input::Image(pixels) = batch.input else { unreachable!("they are images") };
        assert_eq!(pixels.dims(), [2, 3, 4, 4]);
        let reds: Vec<f32> = pixels.narrow(1, 0, 1).into_data().iter::<f32>().collect();
        assert!(reds[..16].iter().all(|red| *red > 0.95), "cats are red: {reds:?}");
        assert!(reds[16..].iter().all(|red| *red < 0.05), "dogs are not: {reds:?}");
    }

    #[test]
    fn every_image_is_in_the_digest_and_other_files_are_not() {
        let folder = folder();
        let ends = ["0.png", "1.JPG", "2.png", "3.JPG", "4.png"];
        let names: Vec<String> = ["cats", "dogs"]
            .iter()
            .flat_map(|class| ends.map(|end| format!("images/{class}/{end}")))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let task = moe::Choice::of("image-folder").with("side", 4);
        check_digest(folder.path(), &task, names[0], &names);
    }

    #[test]
    fn what_is_wrong_is_said_with_the_path() {
        let folder = folder();
        let default = ImageFolderConfig::default();
        let config = ImageFolderConfig { folder: "nowhere".into(), ..default.clone() };
        assert!(load(folder.path(), &config).err().unwrap().contains("nowhere: "));
        let cat = folder.path().join("images/cats/2.png");
        let bytes = fs::read(&cat).unwrap();
        fs::write(&cat, &bytes[..bytes.len() / 2]).unwrap();
        let err = load(folder.path(), &default).err().unwrap();
        assert!(err.contains("cats/2.png: not a valid image"), "{err}");
        fs::remove_file(&cat).unwrap();
        let err = load(folder.path(), &default).err().unwrap();
        assert!(err.contains("cats: 4 images") && err.contains("at least 5"), "{err}");
        fs::remove_dir_all(folder.path().join("images/cats")).unwrap();
        assert!(load(folder.path(), &default).err().unwrap().contains("1 class folders"));
        let err = ImageFolder::load(&default, &DataDir::default()).err().unwrap().to_string();
        assert!(err.contains("--data-dir"), "{err}");
    }

    #[test]
    fn a_side_that_does_not_fit_is_refused_before_images_are_read() {
        for side in [0, 1025, 1_000_000_000] {
            let config = ImageFolderConfig { side, ..ImageFolderConfig::default() };
            let error = load(Path::new("nowhere"), &config).err().unwrap();
            assert!(error.contains(&format!("side = {side}: must be from 1 to 1024")), "{error}");
        }
    }
}
