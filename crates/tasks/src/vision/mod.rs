//! Pictures.

mod augment;
mod blur;
mod cifar10;
mod corrupt;
mod digits;
mod idx;
mod image_folder;
mod jpeg;
mod mnist;
mod omniglot;
mod picture;
mod pictures;
mod rand_augment;
mod splits;
mod zip;

pub use augment::Augment;
pub use cifar10::Cifar10;
pub use corrupt::Corruption;
pub use digits::Digits;
pub use image_folder::{ImageFolder, ImageFolderConfig};
pub use mnist::{FashionMnist, Mnist};
pub use omniglot::{Labels, Omniglot, OmniglotConfig};
pub use picture::Picture;
pub use pictures::{Pictures, PicturesConfig};
