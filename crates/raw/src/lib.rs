//! RAW images: mosaics of one colour per pixel, as recorded by sensors, without any network.
//!
//! - [`Mosaic`] with its [`Cfa`] pattern and levels; crops keep the pattern.
//! - [`dng`]: uncompressed DNG files, read and written; [`npy_crop`]: crops as NumPy files.
//! - [`camera`]: files of cameras, with the feature `camera-files`.
//! - [`Form`]: the forms of a mosaic as input of a network.
//! - [`Displacement`]: random changes in training under which pixels keep their colours.
//! - [`Isp`]: the conversion to RGB, equal to LibRaw's within one code of 255.

pub mod camera;
mod cfa;
mod demosaicing;
mod displacement;
pub mod dng;
mod error;
mod form;
mod isp;
mod mosaic;

pub use cfa::{Cfa, Colour};
pub use demosaicing::{Method, interpolate};
pub use displacement::Displacement;
pub use error::{Error, Result};
pub use form::{Form, Planes};
pub use isp::{Developer, Gamma, Isp, quantise};
pub use mosaic::{Mosaic, npy_crop};
