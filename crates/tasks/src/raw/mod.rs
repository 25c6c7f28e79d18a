//! RAW images beside the RGB images that were made of them.

mod deal;
mod files;
mod grains;
mod rice;
mod set;

pub use deal::Deal;
pub use rice::{Rice, RiceConfig, RiceInput, RiceSource};
