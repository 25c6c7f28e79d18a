//! Images.

mod augment;
mod blur;
mod cifar10;
mod corrupt;
mod digits;
mod idx;
mod image;
mod image_folder;
mod images;
mod jpeg;
mod mnist;
mod omniglot;
mod splits;
mod zip;

pub use self::image::Image;
pub use augment::Augment;
pub use cifar10::Cifar10;
pub use corrupt::Corruption;
pub use digits::Digits;
pub use image_folder::{ImageFolder, ImageFolderConfig};
pub use images::{Images, ImagesConfig};
pub use mnist::{FashionMnist, Mnist};
pub use omniglot::{Omniglot, OmniglotConfig};
