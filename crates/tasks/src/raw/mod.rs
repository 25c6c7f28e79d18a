//! RAW images, together with the RGB images made from them.

mod deal;
mod files;
mod grains;
mod rice;
mod set;

pub use deal::Deal;
pub use rice::{Rice, RiceConfig, RiceInput, RiceSource};
